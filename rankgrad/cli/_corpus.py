"""Documents without queries, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad.cli._load import PYDOC, load_collection

if TYPE_CHECKING:
    from rankgrad.data import Texts


def load_documents(name: str) -> Texts:
    """Those of a collection by name or folder, or of a file of JSON lines."""
    path = Path(name)
    if name == PYDOC or not path.is_file():
        return load_collection(name).documents
    from rankgrad.data import read_corpus

    return read_corpus(path)
