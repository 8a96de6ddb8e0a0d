"""Sending documents to Qdrant so that a broken upload goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from rankgrad._checks import InputError, require
from rankgrad.retrieve import _qdrant_vectors as forms
from rankgrad.retrieve._qdrant_server import DIGEST, ROW, QdrantCollection

Fields = Mapping[str, Sequence[Any]]


def send(
    server: QdrantCollection,
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Mapping[str, Any]],
    *,
    first: int,
    fields: Fields,
    batch_size: int,
    anew: bool,
    progress: bool,
) -> None:
    """Encode and write the texts that are not there, or are there with another text or other fields.

    Args:
        encode: gives vectors by name.
        first: the row of the first text.
        fields: one value a text.
        batch_size: texts encoded and written at once.
        anew: write all, whatever is there.
        progress: show a bar.
    """
    check_fields(fields, len(texts))
    starts: Iterable[int] = range(0, len(texts), batch_size)
    if progress:
        track = require("rich.progress", "evaluate").track
        starts = track(starts, description="sending documents", transient=True)
    look = server.exists() and not anew
    for start in starts:
        rows = range(first + start, first + min(start + batch_size, len(texts)))
        marks = {row: _mark(texts[row - first], fields, row - first) for row in rows}
        there = server.digests(rows) if look else {}
        missing = [row for row in rows if there.get(row) != marks[row]]
        if missing:
            vectors = encode([texts[row - first] for row in missing])
            put(server, vectors, missing, fields=fields, first=first, marks=marks)


def put(
    server: QdrantCollection,
    vectors: Mapping[str, Any],
    rows: Sequence[int],
    *,
    fields: Fields,
    first: int = 0,
    marks: Mapping[int, str] | None = None,
) -> None:
    """Write the vectors of these rows, over what is there; the collection is made where there is none."""
    for name, values in fields.items():
        if max(rows) - first >= len(values):
            raise InputError(f"metadata: field {name!r} has {len(values)} values and none for row {max(rows)}")
    models = server.models
    server.create({name: forms.settings(each, models) for name, each in vectors.items()})
    server.know(fields)
    columns = {name: forms.document_vectors(each, name, models) for name, each in vectors.items()}
    points = []
    for place, row in enumerate(rows):
        payload = {name: values[row - first] for name, values in fields.items() if values[row - first] is not None}
        payload |= {ROW: row, DIGEST: (marks or {}).get(row, "")}
        held = {name: column[place] for name, column in columns.items() if column[place] is not None}
        points.append(models.PointStruct(id=row, vector=held, payload=payload))
    server.put(points)


def check_fields(fields: Fields, documents: int) -> None:
    """Refuse fields of another number of documents, and names that are ours.

    Raises:
        InputError: naming the field.
    """
    for name, values in fields.items():
        if len(values) != documents:
            raise InputError(f"metadata: field {name!r} has {len(values)} values, expected {documents}, one a document")
        if name in (ROW, DIGEST):
            raise InputError(f"metadata: {name!r} is a name that the index itself uses: rename the field")


def _mark(text: str, fields: Fields, place: int) -> str:
    """Changes when a document does."""
    own = repr((text, {name: values[place] for name, values in fields.items()}))
    return blake2b(own.encode(), digest_size=8).hexdigest()
