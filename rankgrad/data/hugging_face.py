"""Candidate lists from the library ``datasets``: saved folders, JSON, CSV and Parquet files, sets of the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rankgrad._checks import InputError, require
from rankgrad.data._lines import numbers_field, text_field, texts_field
from rankgrad.data.records import CandidateList
from rankgrad.data.streaming import StreamedLists

_FORMATS = {".json": "json", ".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
_BATCH = 256


class HuggingFaceLists:
    """Rows of a ``datasets`` set as candidate lists.

    A row is a query with its positive and its negatives (labels 1 and 0), or, where ``documents`` names a column, a
    query with documents and their labels. Rows are made into lists when they are asked for, so a set stays on disk.

    Args:
        dataset: a folder that ``save_to_disk`` wrote, a ``.json``, ``.jsonl``, ``.csv`` or ``.parquet`` file, or a
            name on the hub; or one of them a split.
        query: column of the query.
        positive: column of the relevant document.
        negatives: column of the other documents, each a text or a list of texts; or several columns; None = none.
        documents: column of all documents, in place of ``positive`` and ``negatives``.
        labels: column of their grades.
        scores: column of the teacher's scores, of the positive first; a single number beside a single negative is the
            difference of the two. None = no teacher.
        streaming: do not hold or convert the set; it can be trained on, and the train split is read anew in each epoch.
        buffer: rows held for shuffling while streaming.
        size: rows of the streamed split, for sets of which a first pass to count them costs too much.
        configuration: of a set on the hub that has several.

    Raises:
        MissingExtraError: without datasets, when lists are asked for.
        InputError: for columns that exclude each other; for a missing split or column, or a row that cannot be used.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "pairs.jsonl"
        >>> HuggingFaceLists(file, query="anchor", negatives=["negative_1", "negative_2"]).negatives
        ('negative_1', 'negative_2')
    """

    def __init__(
        self,
        dataset: str | Path | Mapping[str, str | Path],
        *,
        query: str = "query",
        positive: str = "positive",
        negatives: str | Sequence[str] | None = "negative",
        documents: str | None = None,
        labels: str | None = None,
        scores: str | None = None,
        streaming: bool = False,
        buffer: int = 10_000,
        size: int | None = None,
        configuration: str | None = None,
    ) -> None:
        if (documents is None) != (labels is None):
            raise InputError(f"documents={documents!r}, labels={labels!r}: name both columns or neither")
        self.dataset = dataset
        self.query, self.positive = query, positive
        self.negatives = () if negatives is None else (negatives,) if isinstance(negatives, str) else tuple(negatives)
        self.documents, self.labels, self.scores = documents, labels, scores
        self.streaming, self.buffer, self.size = streaming, buffer, size
        self.configuration = configuration

    def lists(self, split: str) -> Sequence[CandidateList]:
        """Open a split; its rows stay in memory-mapped files."""
        rows, name = self._open(split, streaming=False)
        return _Lists(rows, partial(self.list_of, name=name))

    def stream(self, split: str) -> StreamedLists | None:
        """Open a split to train on, if it is to be streamed; the one named validation is not."""
        if not self.streaming or split == "validation":
            return None
        rows, name = self._open(split, streaming=True)
        size = self.size or _known_size(rows, split)
        return StreamedLists(partial(_numbered, rows), partial(_made, self, name), buffer=self.buffer, size=size)

    def list_of(self, row: Mapping[str, Any], number: int, name: str) -> CandidateList:
        """The list in row ``number`` (from 0) of the set ``name``."""
        where, record = f"{name} row {number}", dict(row)
        query = text_field(record, self.query, where)
        if self.documents is not None and self.labels is not None:
            texts = texts_field(_listed(record, self.documents), self.documents, where)
            labels = numbers_field(_listed(record, self.labels), self.labels, where)
        else:
            texts = (text_field(record, self.positive, where),)
            for column in self.negatives:
                texts += texts_field(_listed(record, column), column, where)
            labels = (1.0, *(0.0 for _ in texts[1:]))
        taught = None
        if self.scores is not None:
            taught = numbers_field(_listed(record, self.scores), self.scores, where)
            if not isinstance(row[self.scores], Sequence) and len(texts) == 2:
                taught = (taught[0], 0.0)
        try:
            return CandidateList(query, texts, labels, taught)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    def _open(self, split: str, *, streaming: bool) -> tuple[Any, str]:
        """The rows of a split, which have the columns named, and what to call them."""
        rows, name = self._loaded(split, streaming)
        self._check_columns(rows, name)
        return rows, name

    def _loaded(self, split: str, streaming: bool) -> tuple[Any, str]:
        library = require("datasets", "datasets")
        source = self.dataset.get(split) if isinstance(self.dataset, Mapping) else self.dataset
        if source is None:
            raise InputError(f"no set for split {split!r}: there is one for {', '.join(sorted(self.dataset))}")  # type: ignore[arg-type]
        path, name = Path(source), f"{source}"
        if path.suffix in _FORMATS:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file")
            if split != "train" and not isinstance(self.dataset, Mapping):
                raise InputError(f"{path} is one file, the train split: name one for {split!r}, or leave the split out")
            files = [str(path)]
            loaded = library.load_dataset(_FORMATS[path.suffix], data_files=files, split="train", streaming=streaming)
            return loaded, name
        if not path.is_dir() or not any((path / file).is_file() for file in ("state.json", "dataset_dict.json")):
            try:
                loaded = library.load_dataset(name, self.configuration, split=split, streaming=streaming)
            except ValueError as error:
                raise InputError(f"{name}: {error}") from error
            return loaded, f"{name}/{split}"
        found = library.load_from_disk(name)
        if isinstance(found, dict):
            if split not in found:
                raise InputError(f"{name} has no split {split!r}: choose one of {', '.join(sorted(found))}")
            found = found[split]
        elif split != "train" and not isinstance(self.dataset, Mapping):
            raise InputError(f"{name} has no splits: name a set for {split!r}, or leave the split out")
        return found.to_iterable_dataset() if streaming else found, name

    def _check_columns(self, rows: Any, name: str) -> None:
        listwise = self.documents is not None
        used = [self.query, *((self.documents, self.labels) if listwise else (self.positive, *self.negatives))]
        there = rows.column_names or ()
        missing = [column for column in [*used, self.scores] if column is not None and column not in there]
        if missing and there:
            raise InputError(
                f"{name} has no column {', '.join(map(repr, missing))}: name the columns; it has {', '.join(there)}"
            )


class _Lists(Sequence[CandidateList]):
    """The rows of a set in memory-mapped files, each made into a list when it is asked for."""

    def __init__(self, rows: Any, make: Any) -> None:
        self.rows, self.make = rows, make

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        return self.make(self.rows[number], number)


def _numbered(rows: Any, generator: np.random.Generator | None) -> Iterator[tuple[int, dict[str, Any]]]:
    # Batch by batch: row by row a set would give each worker of a DataLoader a part of its own.
    number = 0
    for batch in rows.iter(batch_size=_BATCH):
        for values in zip(*batch.values(), strict=True):
            yield number, dict(zip(batch, values, strict=True))
            number += 1


def _made(source: HuggingFaceLists, name: str, row: tuple[int, dict[str, Any]]) -> CandidateList:
    return source.list_of(row[1], row[0], name)


def _listed(record: dict[str, Any], column: str) -> dict[str, Any]:
    """The record with a single text or number in a list of its own."""
    value = record.get(column)
    return {**record, column: [value]} if isinstance(value, str | int | float) else record


def _known_size(rows: Any, split: str) -> int | None:
    """How many rows the set says it has."""
    known = (rows.info.splits or {}).get(split)
    return known.num_examples if known is not None and known.num_examples else None
