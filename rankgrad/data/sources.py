"""Where data comes from: small classes that a configuration can name by import path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from rankgrad._checks import InputError
from rankgrad.data.beir import read_beir
from rankgrad.data.id_triples import read_id_triples
from rankgrad.data.jsonl import read_lists, read_triples
from rankgrad.data.pydoc import pydoc_collection
from rankgrad.data.records import CandidateList, Collection, Run
from rankgrad.data.splits import hold_out
from rankgrad.data.streaming import Layout, StreamedLists, stream_lists


@runtime_checkable
class CollectionSource(Protocol):
    """Makes a collection."""

    def load(self) -> Collection: ...


@runtime_checkable
class ListSource(Protocol):
    """Makes ready candidate lists of a split."""

    def lists(self, split: str) -> Sequence[CandidateList]: ...


@runtime_checkable
class StreamSource(Protocol):
    """Opens a split that memory need not hold; None for one that is asked for by ``lists``."""

    def stream(self, split: str) -> StreamedLists | None: ...


class CandidateMiner(Protocol):
    """Finds the documents from which negatives are drawn, for the queries of a split; best first."""

    def __call__(self, collection: Collection, split: str) -> Run: ...


class Pydoc:
    """The documentation of this Python.

    Args:
        standard_library: take the modules of the standard library.
        packages: names of installed packages whose modules are taken as well.

    Example:
        >>> Pydoc(standard_library=False, packages=["json"]).load().splits
        ('train', 'validation', 'test')
    """

    def __init__(self, *, standard_library: bool = True, packages: Sequence[str] = ()) -> None:
        self.standard_library = standard_library
        self.packages = tuple(packages)

    def load(self) -> Collection:
        """Read the docstrings."""
        return pydoc_collection(standard_library=self.standard_library, packages=self.packages)


class BEIR:
    """A folder in the BEIR layout.

    Args:
        folder: holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``.
        hold_out: share of the queries of "train" that become "validation" (see :func:`rankgrad.data.hold_out`); 0
            leaves the splits as they are.
    """

    def __init__(self, folder: str | Path, *, hold_out: float = 0.0) -> None:
        if not 0 <= hold_out < 1:
            raise InputError(f"hold_out={hold_out}: give a share of the training queries, at least 0 and below 1")
        self.folder = folder
        self.hold_out = hold_out

    def load(self) -> Collection:
        """Read the folder."""
        collection = read_beir(self.folder)
        return hold_out(collection, share=self.hold_out) if self.hold_out else collection


class ListsFile:
    """Ready candidate lists, of texts or of images, or triples, in JSONL files.

    Args:
        train: file with the training lists, or several.
        validation: file with the validation lists, or None.
        layout: "lists" (see :func:`rankgrad.data.read_lists`) or "triples" (see :func:`rankgrad.data.read_triples`).
        streaming: read the training files anew in each epoch instead of holding them (see
            :class:`rankgrad.data.StreamedLists`); validation lists are held.
        buffer: rows held for shuffling while streaming.
    """

    def __init__(
        self,
        train: str | Path | Sequence[str | Path],
        *,
        validation: str | Path | None = None,
        layout: Layout = "lists",
        streaming: bool = False,
        buffer: int = 10_000,
    ) -> None:
        if layout not in ("lists", "triples"):
            raise InputError(f"layout={layout!r}: choose lists or triples")
        self.files = {"train": train, "validation": validation}
        self.layout: Layout = layout
        self.streaming = streaming
        self.buffer = buffer

    def lists(self, split: str) -> Sequence[CandidateList]:
        """Read the files of a split."""
        read = read_lists if self.layout == "lists" else read_triples
        return [one for file in self._files(split) for one in read(file)]

    def stream(self, split: str) -> StreamedLists | None:
        """Open the training files, if they are to be streamed."""
        if not self.streaming or split != "train":
            return None
        return stream_lists(self._files(split), layout=self.layout, buffer=self.buffer)

    def _files(self, split: str) -> Sequence[str | Path]:
        found = self.files.get(split)
        if found is None:
            named = ", ".join(name for name, path in self.files.items() if path is not None)
            raise InputError(f"no file for split {split!r}: there is one for {named}; name one or leave the split out")
        return [found] if isinstance(found, str | Path) else found


class IdTriplesFile:
    """Training examples by ids, whose texts are in a collection (see :func:`rankgrad.data.read_id_triples`).

    Args:
        train: file with the training examples.
        collection: the texts, or what makes them.
        validation: file with the validation examples, or None.
    """

    def __init__(
        self, train: str | Path, collection: Collection | CollectionSource, *, validation: str | Path | None = None
    ) -> None:
        self.files = {"train": train, "validation": validation}
        self.collection = collection

    def lists(self, split: str) -> Sequence[CandidateList]:
        """Read the file of a split."""
        file = self.files.get(split)
        if file is None:
            raise InputError(f"no file of triples for split {split!r}: name one or leave the split out")
        if not isinstance(self.collection, Collection):
            self.collection = self.collection.load()
        return list(read_id_triples(file, self.collection))
