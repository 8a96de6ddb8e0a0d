"""An index on disk: tensors in safetensors beside their settings in JSON."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rankgrad._checks import InputError, require
from rankgrad._files import atomic_file, atomic_folder, check_replaceable

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = "index.json"
TENSORS = "index.safetensors"
FORMAT_VERSION = 1

# What the files of an index are called, at first and when it replaces another, and what a killed writer leaves of them:
# files of ours, or of safetensors, which writes to a name of its own first.
_OWN = re.compile(
    r"index\.(safetensors|faiss)|index-[0-9a-f]{32}\.\w+|\.index(-[0-9a-f]{32})?\.\w+\.\d+\.part|\.tmp[0-9A-Za-z]{6}"
)


class Engine(NamedTuple):
    """The file of an engine beside the tensors, in a format of its own, such as FAISS's.

    Args:
        name: of the file in a new folder.
        write: puts it where it is told.
    """

    name: str
    write: Callable[[Path], None]


def write_index(
    folder: str | Path,
    kind: str,
    tensors: dict[str, Tensor],
    settings: dict[str, Any],
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> None:
    """Write an index as a whole or not at all, wherever the process is killed.

    A new folder is made beside its place and renamed. In the folder of an older index the new files get names of their
    own; the settings, which name them, are then replaced by one rename, and the older index's files are removed, no
    others. A reader that has the older tensors mapped keeps them. One process may write a folder at a time.

    Args:
        folder: a new or empty folder, or an older index of this kind, which is replaced.
        kind: which stage reads it.
        tensors: the buffers.
        settings: plain values.
        engine: a third file; None = there is none.
        overwrite: replace an index of another kind too.

    Raises:
        InputError: when the folder holds other files, or an index of another kind.
    """
    require("safetensors.torch", "text")
    folder = Path(folder)
    check_replaceable_index(folder, kind, overwrite=overwrite)
    content = {"format_version": FORMAT_VERSION, "kind": kind, **settings}
    content |= {} if engine is None else {"engine": engine.name}
    if not (folder / SETTINGS).is_file():
        with atomic_folder(folder) as temporary:
            _write(temporary, TENSORS, tensors, content, engine)
        return
    version = f"index-{uuid.uuid4().hex}"
    content |= {"tensors": f"{version}.safetensors"}
    written = [content["tensors"]]
    if engine is not None:
        engine = engine._replace(name=version + Path(engine.name).suffix)
        content |= {"engine": engine.name}
        written.append(engine.name)
    try:
        _write(folder, written[0], tensors, content, engine)
    except BaseException:
        # What stopped it may have come after the settings were renamed: then this is the index.
        if version not in (folder / SETTINGS).read_text(encoding="utf-8", errors="replace"):
            for name in written:
                (folder / name).unlink(missing_ok=True)
        raise
    for other in folder.iterdir():
        if _OWN.fullmatch(other.name) and other.name not in written:
            other.unlink(missing_ok=True)


def check_replaceable_index(folder: str | Path, kind: str, *, overwrite: bool = False) -> None:
    """Refuse a folder that an index of this kind must not replace, before the work of making one.

    Args:
        folder: new, empty, or an older index's.
        kind: of the index that is to come there.
        overwrite: replace an index of another kind too.

    Raises:
        InputError: when the folder holds other files, or an index of another kind.

    Example:
        >>> check_replaceable_index("no/such/folder", "bm25")
    """
    check_replaceable(folder, SETTINGS)
    path = Path(folder) / SETTINGS
    if not path.is_file():
        return
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        settings = None
    old = settings.get("kind") if isinstance(settings, dict) and "format_version" in settings else None
    if not isinstance(old, str):
        raise InputError(
            f"{folder} holds an {SETTINGS} that is none of ours, or damaged, and would be replaced: name a new or "
            "empty folder, or remove this one"
        )
    if old != kind and not overwrite:
        raise InputError(
            f"{folder} holds an index of kind {old!r}, which one of kind {kind!r} would replace: name another folder, "
            "or remove this one"
        )


def read_index(
    folder: str | Path,
    kind: str,
    *,
    mmap: bool = True,
    engine: Callable[[Path, dict[str, Any]], None] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_index` wrote.

    Args:
        folder: where it is.
        kind: which stage wrote it.
        mmap: leave the tensors on disk; pages come into memory when they are read, and are copied where somebody
            writes to them. Else all is read now.
        engine: reads the engine's file of a folder with these settings, see :func:`file_name`; it is called again if
            the index is replaced meanwhile.

    Raises:
        FileNotFoundError: when one of the files is missing.
        InputError: when one is cut off or damaged, or the index is of another kind.
    """
    safetensors = require("safetensors", "text")
    load_file = require("safetensors.torch", "text").load_file
    folder = Path(folder)
    settings = _settings(folder)
    while True:
        path = folder / file_name(folder, settings, "tensors", TENSORS)
        try:
            tensors = load_file(path)
            _check_kind(folder, settings, kind)
            if engine is not None:
                engine(folder, settings)
            break
        except (FileNotFoundError, RuntimeError):
            # Somebody may have replaced the index since its settings were read, or while the file was opened: the
            # library opens it twice, the second time by torch, which says RuntimeError.
            newer = _settings(folder)
            if newer == settings:
                if path.is_file():
                    raise
                raise FileNotFoundError(f"{folder} is no index: {path.name} is missing") from None
            settings = newer
        except safetensors.SafetensorError as error:
            _check_kind(folder, settings, kind)
            raise InputError(f"{path} is cut off or damaged ({error}): write the index again") from error
    return tensors if mmap else {name: tensor.clone() for name, tensor in tensors.items()}, settings


def file_name(folder: Path, settings: dict[str, Any], key: str, usual: str) -> str:
    """What settings call a file of their index.

    Raises:
        InputError: for a name outside of the folder.
    """
    name = settings.get(key, usual)
    if not isinstance(name, str) or Path(name).name != name:
        raise InputError(f"{folder / SETTINGS} names {key} outside its folder ({name!r}): write the index again")
    return name


def _write(folder: Path, name: str, tensors: dict[str, Tensor], content: dict[str, Any], engine: Engine | None) -> None:
    """Write the files, the settings last; each is on the disk before it has its name."""
    save_file = require("safetensors.torch", "text").save_file
    with atomic_file(folder / name) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
        # The library leaves a file that nobody else may read.
        temporary.chmod(mode)
        _sync(temporary)
    if engine is not None:
        with atomic_file(folder / engine.name) as temporary:
            engine.write(temporary)
            _sync(temporary)
    with atomic_file(folder / SETTINGS) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        _sync(temporary)


def _settings(folder: Path) -> dict[str, Any]:
    """The settings of an index of whatever kind."""
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{folder} is no index: {SETTINGS} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}:{getattr(error, 'lineno', 1)}: {error}: write the index again") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path} holds no settings but {type(settings).__name__}: write the index again")
    return settings


def _check_kind(folder: Path, settings: dict[str, Any], kind: str) -> None:
    found = settings.get("kind"), settings.get("format_version")
    if found != (kind, FORMAT_VERSION):
        raise InputError(
            f"{folder / SETTINGS} describes {found}, expected {(kind, FORMAT_VERSION)}: name another folder"
        )


def _sync(path: Path) -> None:
    """Wait until a file's contents are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
