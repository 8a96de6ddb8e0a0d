"""Where data comes from: small classes that a configuration can name by import path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from rankgrad._checks import InputError
from rankgrad.data.beir import read_beir
from rankgrad.data.jsonl import read_lists, read_triples
from rankgrad.data.pydoc import pydoc_collection
from rankgrad.data.records import CandidateList, Collection, Run
from rankgrad.data.splits import hold_out


@runtime_checkable
class CollectionSource(Protocol):
    """Makes a collection."""

    def load(self) -> Collection: ...


@runtime_checkable
class ListSource(Protocol):
    """Makes ready candidate lists of a split."""

    def lists(self, split: str) -> Sequence[CandidateList]: ...


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
    """Ready candidate lists, or triples, in JSONL files.

    Args:
        train: file with the training lists.
        validation: file with the validation lists, or None.
        layout: "lists" (see :func:`rankgrad.data.read_lists`) or "triples" (see :func:`rankgrad.data.read_triples`).
    """

    def __init__(
        self, train: str | Path, *, validation: str | Path | None = None, layout: Literal["lists", "triples"] = "lists"
    ) -> None:
        if layout not in ("lists", "triples"):
            raise InputError(f"layout={layout!r}: choose lists or triples")
        self.files = {"train": train, "validation": validation}
        self.layout = layout

    def lists(self, split: str) -> Sequence[CandidateList]:
        """Read the file of a split."""
        file = self.files.get(split)
        if file is None:
            named = ", ".join(name for name, path in self.files.items() if path is not None)
            raise InputError(f"no file for split {split!r}: there is one for {named}; name one or leave the split out")
        return list(read_lists(file) if self.layout == "lists" else read_triples(file))
