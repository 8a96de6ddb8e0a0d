"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankgrad._checks import InputError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` if the block succeeds, else remove it.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_file(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (folder / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; put it in the place of ``path`` if the block succeeds, else remove it.

    An existing folder at ``path`` stays whole until the new one is complete. Where ``path`` is a link, what it points
    to is replaced, and the link stays.

    Raises:
        InputError: for a folder that cannot be moved out of the way: the working directory, one around it, a mount.
    """
    _check_movable(path)
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    os.chmod(temporary, 0o777 & ~_umask())
    retired = temporary.with_suffix(".old")
    try:
        yield temporary
        if path.exists():
            os.replace(path, retired)
        try:
            os.replace(temporary, path)
        except OSError:
            if retired.exists():
                os.replace(retired, path)
            raise
        shutil.rmtree(retired, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: str | Path, marker: str, *, in_place: bool = False) -> None:
    """Refuse to replace a folder that was not written by us (one that holds files but no ``marker``), or a file.

    Args:
        path: the folder that is to be written.
        marker: the file that folders of this kind hold.
        in_place: files are replaced one by one inside the folder, so it may be the working directory.

    Raises:
        InputError: naming the folder, or the file that it would lie below, and the remedy; and, unless ``in_place``,
            for the working directory and for a mount; or naming the folder that may not be written.
    """
    path = Path(path)
    for above in path.parents:
        if above.is_file():
            raise InputError(f"{path}: {above} is a file: name a folder somewhere else")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise InputError(f"{path} holds other files (no {marker}) and would be replaced: name a new or empty folder")
    if path.is_file():
        raise InputError(f"{path} is a file: name a folder")
    if not in_place:
        _check_movable(path)
    _check_writable(path.resolve(), in_place=in_place)


def _check_writable(path: Path, *, in_place: bool) -> None:
    holder = path if in_place else path.parent
    while not holder.exists() and holder != holder.parent:
        holder = holder.parent
    if not os.access(holder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written, you have no permission in {holder}: name a folder elsewhere")


def _check_movable(path: str | Path) -> None:
    """Refuse a folder that would be moved away from below the process, or that cannot be moved."""
    if os.path.ismount(Path(path).resolve()):
        raise InputError(f"{path} is a mount, which cannot be replaced: name a folder inside it")
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed, and lies nowhere
        return
    if Path(path).resolve() in (here, *here.parents):
        raise InputError(f"{path} is or holds the working directory and would be replaced: name a folder of its own")


def _umask() -> int:
    """This process's file mode mask (``mkdtemp`` ignores it and makes folders private)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
