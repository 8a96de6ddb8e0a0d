"""An encoded collection of a first stage, kept from run to run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rankgrad._checks import InputError
from rankgrad._digest import digest_of_texts
from rankgrad._files import atomic_file
from rankgrad.evaluation import folder_fingerprint
from rankgrad.evaluation.fingerprint import settings_fingerprint

Stage = TypeVar("Stage")


def kept_index(
    folder: Path,
    *,
    settings: Any,
    texts: Sequence[str],
    make: Callable[[], Stage],
    save: Callable[[Stage, Path], None],
    load: Callable[[Path], Stage],
) -> Stage:
    """A stage from a folder of indexes; made, and kept there, where it is missing or damaged.

    Args:
        folder: of all indexes; made when the first is written.
        settings: plain values that say all that the index depends on beside the texts.
        texts: the collection.
        make: encodes it.
        save: writes what was made into a folder.
        load: reads it.
    """
    key = settings_fingerprint({"stage": settings, "documents": digest_of_texts(texts)})
    index, digest = folder / key, folder / f"{key}.sha256"
    try:
        if digest.read_text(encoding="utf-8") == folder_fingerprint(index):
            return load(index)
    except (FileNotFoundError, UnicodeDecodeError, InputError):
        # Nothing there, or a half of it: the same as nothing.
        pass
    shutil.rmtree(index, ignore_errors=True)
    stage = make()
    save(stage, index)
    with atomic_file(digest) as temporary:
        temporary.write_text(folder_fingerprint(index), encoding="utf-8")
    return stage
