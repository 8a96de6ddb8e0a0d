"""Reading a YAML file key by key, with an error that says where for everything else."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rankgrad._checks import InputError


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a file that is no YAML mapping, with the line.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: no valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no valid YAML text: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected keys and values, got {type(content).__name__}")
    return content


class Part:
    """A mapping in a file, and where it stands.

    Args:
        where: the file and the keys on the way, for messages.
        values: the mapping; None is an empty one.

    Raises:
        InputError: when it is none.

    Example:
        >>> part = Part("a.yaml", {"depth": 10, "names": ["x"]})
        >>> part.number("depth"), part.texts("names", ["y"]), part.number("k", 5)
        (10, ['x'], 5)
        >>> part.text("depth")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: a.yaml: depth: expected a text, got 10
    """

    def __init__(self, where: str, values: Any) -> None:
        if values is not None and not isinstance(values, dict):
            raise InputError(f"{where}: expected keys and values, got {values!r}")
        self.where = where
        self.values: dict[Any, Any] = values or {}

    def only(self, *known: str) -> None:
        """Refuse every other key.

        Raises:
            InputError: naming it and those known.
        """
        unknown = [key for key in self.values if key not in known]
        if unknown:
            raise InputError(f"{self.where}: {unknown[0]!r} is unknown: choose among {', '.join(known)}")

    def has(self, key: str) -> bool:
        """Whether something is said."""
        return self.values.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        """A text; InputError where it is missing without a default, or no text."""
        value = self._value(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(key, "a text", value)
        return value

    def number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number; InputError where it is missing without a default, none, or below ``least``."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._wrong(key, f"a whole number of at least {least}", value)
        return value

    def real(self, key: str, default: float) -> float:
        """A number; InputError for something else."""
        value = self._value(key, default)
        if not _is_number(value):
            raise self._wrong(key, "a number", value)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false; InputError for something else."""
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """One of the texts known; InputError for another, naming those."""
        value = self.text(key, default)
        if value not in known:
            raise InputError(f"{self.where}: {key} {value!r} is unknown: choose one of {', '.join(known)}")
        return value

    def reals(self, key: str) -> tuple[float, ...]:
        """A list of numbers; InputError for something else, or an empty one."""
        value = self._value(key, None)
        if not isinstance(value, list) or not value or not all(map(_is_number, value)):
            raise self._wrong(key, "a list of numbers", value)
        return tuple(map(float, value))

    def named_reals(self, key: str) -> tuple[tuple[str, float], ...]:
        """Numbers by name, none where nothing is said; InputError for something else."""
        value = self._value(key, {})
        if not isinstance(value, dict) or not all(map(_is_number, value.values())):
            raise self._wrong(key, "names and their numbers", value)
        return tuple((str(name), float(number)) for name, number in value.items())

    def named_texts(self, key: str) -> str | dict[str, str]:
        """A text, or texts by name; InputError for something else, or none."""
        value = self._value(key, None)
        texts = list(value.values()) if isinstance(value, dict) else [value]
        if not texts or not all(isinstance(each, str) and each.strip() for each in texts):
            raise self._wrong(key, "a text, or names and their texts", value)
        return value if isinstance(value, str) else {str(name): text for name, text in value.items()}

    def texts(self, key: str, default: Sequence[str]) -> list[str]:
        """A list of texts; InputError for something else, or an empty one."""
        value = self._value(key, list(default))
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise self._wrong(key, "a list of texts", value)
        return value

    def parts(self, key: str) -> list[Part]:
        """A list of mappings; InputError for something else, or an empty one."""
        value = self._value(key, None)
        if not isinstance(value, list) or not value:
            raise self._wrong(key, "a list", value)
        return [Part(f"{self.where}: {key}, number {place}", each) for place, each in enumerate(value, 1)]

    def kind(self, key: str) -> Part:
        """A mapping, or a text that stands for ``{kind: text}``; InputError for something else."""
        return _of_kind(f"{self.where}: {key}", self._value(key, None))

    def kinds(self, key: str) -> list[Part]:
        """A list of those; InputError for something else, or an empty one."""
        value = self._value(key, None)
        if not isinstance(value, list) or not value:
            raise self._wrong(key, "a list", value)
        return [_of_kind(f"{self.where}: {key}, number {place}", each) for place, each in enumerate(value, 1)]

    def mapping(self, key: str) -> dict[str, Part]:
        """Mappings by name; InputError for something else, or none."""
        value = self._value(key, None)
        if not isinstance(value, dict) or not value:
            raise self._wrong(key, "names and what they stand for", value)
        return {str(name): Part(f"{self.where}: {key}: {name}", each) for name, each in value.items()}

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None and default is None:
            raise InputError(f"{self.where}: {key} is missing: add it")
        return default if value is None else value

    def _wrong(self, key: str, expected: str, value: Any) -> InputError:
        return InputError(f"{self.where}: {key}: expected {expected}, got {value!r}")


def _of_kind(where: str, value: Any) -> Part:
    return Part(where, {"kind": value} if isinstance(value, str) else value)


def _is_number(value: Any) -> bool:
    """Whether it is a finite number: YAML has ``.nan`` and ``.inf`` too, and whole numbers beyond any float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= sys.float_info.max
