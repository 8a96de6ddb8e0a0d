"""Where a command writes: refused before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from rankgrad._checks import InputError
from rankgrad._files import check_replaceable


def check_out(folder: Path, marker: str) -> None:
    """Refuse a folder that holds other files, is a file, or would lie below one.

    Args:
        folder: what will be written.
        marker: the file by which a folder of ours is known.

    Raises:
        InputError: naming it.
    """
    for above in folder.parents:
        if above.is_file():
            raise InputError(f"{folder}: {above} is a file: name a folder somewhere else")
    check_replaceable(folder, marker)
