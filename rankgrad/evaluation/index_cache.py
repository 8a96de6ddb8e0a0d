"""Encoded collections kept on disk, found again by what encoded them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad.evaluation.fingerprint import folder_fingerprint, settings_fingerprint
from rankgrad.rerank import LateInteractionReranker


def cached_index(
    stage: LateInteractionReranker, folder: str | Path, *, settings: Any, progress: bool = False
) -> LateInteractionReranker:
    """Give a stage its index from a folder of indexes; encode the collection, and keep it there, where it is missing.

    An index that is damaged, by a single byte too, is made anew.

    Args:
        stage: gets the index.
        folder: of all indexes; made when the first is written.
        settings: plain values that say all that the encoder's embeddings depend on, such as a digest of its files; the
            documents are added to them.
        progress: show a bar on stderr.
    """
    key = settings_fingerprint({"encoder": settings, "documents": list(stage.documents)})
    index, digest = Path(folder) / key, Path(folder) / f"{key}.sha256"
    try:
        if digest.read_text(encoding="utf-8") == folder_fingerprint(index):
            return stage.load_index(index)
    except (FileNotFoundError, UnicodeDecodeError, InputError):
        # Nothing there, or a half of it: the same as nothing.
        pass
    shutil.rmtree(index, ignore_errors=True)
    stage.index(progress=progress)
    stage.save_index(index)
    with atomic_file(digest) as temporary:
        temporary.write_text(folder_fingerprint(index), encoding="utf-8")
    return stage
