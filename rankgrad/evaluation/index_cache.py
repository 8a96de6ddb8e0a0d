"""Encoded collections kept on disk, found again by what encoded them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rankgrad._checks import InputError
from rankgrad._digest import digest_of_texts
from rankgrad._files import atomic_file
from rankgrad.evaluation.fingerprint import folder_fingerprint, settings_fingerprint
from rankgrad.rerank import LateInteractionReranker

Stage = TypeVar("Stage")


def cached_stage(
    folder: str | Path,
    *,
    settings: Any,
    texts: Sequence[str],
    make: Callable[[], Stage],
    save: Callable[[Stage, Path], None],
    load: Callable[[Path], Stage],
) -> Stage:
    """A stage from a folder of indexes; made, and kept there, where it is missing.

    An index that is damaged, by a single byte too, is made anew.

    Args:
        folder: of all indexes; made when the first is written.
        settings: plain values that say all that the index depends on beside the texts, such as a digest of a model's
            files.
        texts: the collection.
        make: encodes it.
        save: writes what was made into a folder.
        load: reads it.
    """
    key = settings_fingerprint({"stage": settings, "documents": digest_of_texts(texts)})
    index, digest = Path(folder) / key, Path(folder) / f"{key}.sha256"
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


def cached_index(
    stage: LateInteractionReranker, folder: str | Path, *, settings: Any, progress: bool = False
) -> LateInteractionReranker:
    """Give a stage its index by :func:`cached_stage`.

    Args:
        stage: gets the index.
        folder: of all indexes; made when the first is written.
        settings: plain values that say all that the encoder's embeddings depend on; the documents are added to them.
        progress: show a bar on stderr.
    """
    return cached_stage(
        folder,
        settings=settings,
        texts=stage.documents,
        make=lambda: stage.index(progress=progress),
        save=LateInteractionReranker.save_index,
        load=stage.load_index,
    )
