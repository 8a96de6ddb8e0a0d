"""A corpus alone: documents without queries."""

from __future__ import annotations

from pathlib import Path

from rankgrad.data.beir import read_texts
from rankgrad.data.records import Texts


def read_corpus(path: str | Path) -> Texts:
    """Lines ``{"_id": ..., "title": ..., "text": ...}``, as in the BEIR layout's ``corpus.jsonl``; the title may lack.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, with ``file:line``, or an id given twice.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "corpus.jsonl"
        >>> _ = file.write_text('{"_id": "d", "title": "Oslo", "text": "is in Norway"}')
        >>> read_corpus(file).texts
        ('Oslo is in Norway',)
    """
    return read_texts(Path(path), blank=True)
