"""Configurations made of other configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rankgrad._checks import InputError


def compose(paths: list[str | Path]) -> dict[str, Any]:
    """Merge configuration files; a later one wins over an earlier, and a file over those it includes.

    A file may begin with ``include: [other.yaml, ...]``, paths relative to its own folder. Mappings merge key by key;
    anything else is replaced, and so is a whole object where the ``class_path`` differs. ``model.learning_rate: 1`` at
    the top of a file is short for the nested mapping.

    Args:
        paths: YAML files.

    Returns:
        One nested mapping without ``include``.

    Raises:
        FileNotFoundError: when a file is not there; for an included one the including file is named.
        InputError: for a file that is no YAML mapping (with ``file:line``), or one that includes itself.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "cpu.yaml").write_text("trainer: {accelerator: cpu, max_epochs: 3}")
        >>> _ = (folder / "run.yaml").write_text("include: [cpu.yaml]" + chr(10) + "trainer.max_epochs: 1")
        >>> compose([folder / "run.yaml"])
        {'trainer': {'accelerator': 'cpu', 'max_epochs': 1}}
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = _merge(merged, _read(Path(path), ()))
    return merged


def take_object_options(config: dict[str, Any], options: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Put command line options for arguments of the configured objects into the configuration.

    jsonargparse (4.53) forgets an object's other arguments when an option sets one of them and the object's type is a
    union of protocols, as those of ``ListDataModule`` are. An object whose class is set by an option too is left to it.

    Args:
        config: of :func:`compose`.
        options: ``--data.source.init_args.folder=x``, or the value as a word of its own; ``init_args`` may be left out.

    Returns:
        The new configuration, and the options that are not for objects.

    Raises:
        InputError: for an option without its value.

    Example:
        >>> config = {"loss": {"class_path": "a.B", "init_args": {"k": 1, "t": 2}}, "n": 3}
        >>> take_object_options(config, ["--loss.k", "5", "--n=4"])
        ({'loss': {'class_path': 'a.B', 'init_args': {'k': 5, 't': 2}}, 'n': 3}, ['--n=4'])
    """
    classes = {word.partition("=")[0].removeprefix("--").removesuffix(".class_path") for word in options}
    rest: list[str] = []
    words = iter(options)
    for word in words:
        key, given, value = word.partition("=")
        path = _argument_path(config, key.removeprefix("--").split("."), classes) if key.startswith("--") else None
        if path is None:
            rest.append(word)
            continue
        if not given and (value := next(words, None)) is None:
            raise InputError(f"{key}: expected one argument")
        nested: Any = _value(value)
        for part in reversed(path):
            nested = {part: nested}
        config = _merge(config, nested)
    return config, rest


def _argument_path(config: dict[str, Any], parts: list[str], classes: set[str]) -> list[str] | None:
    """Where the argument of a configured object stands; None for what is no such argument."""
    path: list[str] = []
    node: Any = config
    inside = False
    for position, part in enumerate(parts):
        if isinstance(node, dict) and "class_path" in node:
            if part in ("class_path", "help") or ".".join(parts[:position]) in classes:
                return None
            inside = True
            node = node.get("init_args") or {}
            path.append("init_args")
            if part == "init_args":
                continue
        path.append(part)
        node = node.get(part) if isinstance(node, dict) else None
    return path if inside else None


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _read(path: Path, includers: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in includers:
        raise InputError(f"{path} includes itself: take one of the includes out")
    if not path.is_file():
        wanted = f", which {includers[-1]} includes" if includers else ""
        raise FileNotFoundError(f"configuration not found: {path}{wanted}")
    content = _load(path)
    included = content.pop("include", [])
    if not isinstance(included, list):
        raise InputError(f"{path}: include: expected a list of files, got {included!r}")
    merged: dict[str, Any] = {}
    for name in included:
        merged = _merge(merged, _read(path.parent / str(name), (*includers, path.resolve())))
    return _merge(merged, _nested(content))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no valid YAML text: {error}") from error
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, got {type(content).__name__}")
    return content or {}


def _nested(content: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in content.items():
        for part in reversed(str(key).split(".")):
            value = {part: value}
        nested = _merge(nested, value)
    return nested


def _merge(base: Any, over: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    if "class_path" in over and base.get("class_path", over["class_path"]) != over["class_path"]:
        return over
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in over.items()}}
