"""What query expansions share: terms of the documents that a first search found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

_BUFFERS = ("term_ends", "terms", "counts")

Module = TypeVar("Module", bound=nn.Module)


class LexicalRetriever(Protocol):
    """What expansion needs: :class:`BM25`, :class:`TFIDF` and :class:`QueryLikelihood` have it."""

    analyzer: Analyzer
    vocabulary: dict[str, int]
    documents: int

    def weigh(self, queries: Queries) -> WeightedTerms: ...

    def rank(self, terms: WeightedTerms, k: int) -> Ranking: ...


class Feedback(NamedTuple):
    """The documents that a first search found for one query.

    Shape:
        positions: the terms they hold, int64 ``[terms]``, ascending.
        counts: how often each document holds each, float64 ``[documents, terms]``.
        scores: of the first search, float64 ``[documents]``.
    """

    positions: np.ndarray
    counts: np.ndarray
    scores: np.ndarray


class Expansion(Protocol):
    """A module that expands queries."""

    retriever: LexicalRetriever
    feedback_documents: int
    term_ends: Tensor
    terms: Tensor
    counts: Tensor

    def register_buffer(self, name: str, tensor: Tensor) -> None: ...


def check_numbers(documents: int, terms: int) -> None:
    for name, value in (("feedback_documents", documents), ("feedback_terms", terms)):
        if value < 1:
            raise InputError(f"{name}={value} feeds nothing back: pass at least 1")


def count_documents(module: Expansion, retriever: LexicalRetriever, documents: Sequence[str]) -> None:
    """Register each document's terms and their counts."""
    check_texts(documents, "document", allow_blank=True)
    terms = retriever.analyzer.collect(documents)
    if len(documents) != retriever.documents or terms.vocabulary != list(retriever.vocabulary):
        raise InputError(
            f"documents: these {len(documents)} are not the {retriever.documents} that the retriever was built on: "
            "pass the same ones in the same order"
        )
    counted = np.repeat(np.arange(len(documents)), terms.lengths) * len(terms.vocabulary) + terms.ids
    keys, counts = np.unique(counted, return_counts=True)
    rows, positions = np.divmod(keys, len(terms.vocabulary))
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(documents)))])
    module.register_buffer("term_ends", torch.from_numpy(ends))
    module.register_buffer("terms", torch.from_numpy(positions).int())
    module.register_buffer("counts", torch.from_numpy(counts).int())


def feedback_of(module: Expansion, terms: WeightedTerms) -> list[Feedback]:
    """Search once, and count the terms of what was found for each query."""
    first = module.retriever.rank(terms, min(module.feedback_documents, module.retriever.documents))
    ends, positions, counts = (buffer.cpu().numpy() for buffer in (module.term_ends, module.terms, module.counts))
    found = []
    for ids, scores, mask in zip(*(field.cpu().numpy() for field in first), strict=True):
        entries = [slice(ends[row], ends[row + 1]) for row in ids[mask]]
        held = np.unique(np.concatenate([positions[:0], *(positions[each] for each in entries)])).astype(np.int64)
        table = np.zeros((len(entries), len(held)))
        for row, each in enumerate(entries):
            table[row, np.searchsorted(held, positions[each])] = counts[each]
        found.append(Feedback(held, table, scores[mask].astype(np.float64)))
    return found


def largest(positions: np.ndarray, values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The terms of the ``k`` largest values; of equals, those that stand first in the vocabulary."""
    order = np.argsort(-values, kind="stable")[:k]
    return positions[order], values[order]


def joined(original: WeightedTerms, added: list[tuple[np.ndarray, np.ndarray]]) -> WeightedTerms:
    """Queries with their expansions: weights of a term that is in both are added; terms of weight 0 are left out."""
    owners = np.concatenate([original.owners, *(np.full(len(terms), row) for row, (terms, _) in enumerate(added))])
    positions = np.concatenate([original.positions, *(terms for terms, _ in added)])
    weights = np.concatenate([original.weights, *(values for _, values in added)])
    width = int(positions.max(initial=0)) + 1
    keys, places = np.unique(owners * width + positions, return_inverse=True)
    sums = np.bincount(places, weights=weights, minlength=len(keys))
    kept = sums > 0
    return WeightedTerms(*np.divmod(keys[kept], width), sums[kept], original.queries)


def save_counts(module: Any, folder: str | Path, kind: str, options: Sequence[str]) -> None:
    """Write the counts of the documents and the attributes ``options``, without the retriever; all of it or nothing."""
    tensors = {name: module.get_buffer(name) for name in _BUFFERS}
    settings = {name: getattr(module, name) for name in options}
    write_index(folder, kind, tensors, settings | {"vocabulary": _digest(module.retriever)})


def load_counts(
    cls: type[Module], folder: str | Path, kind: str, retriever: LexicalRetriever, options: Sequence[str]
) -> Module:
    """Read what :func:`save_counts` wrote beside the same retriever.

    Raises:
        FileNotFoundError: when a file is missing.
        InputError: when a file is cut off or damaged, or of another kind or another collection.
    """
    tensors, settings = read_index(folder, kind)
    module: Any = cls.__new__(cls)
    nn.Module.__init__(module)
    module.retriever = retriever
    try:
        for name in options:
            setattr(module, name, settings[name])
        for name in _BUFFERS:
            module.register_buffer(name, tensors[name])
    except KeyError as error:
        raise InputError(f"{folder} is no complete {kind} index ({error!r}): write it again") from error
    if settings.get("vocabulary") != _digest(retriever) or len(module.term_ends) != retriever.documents + 1:
        raise InputError(f"{folder} counts other documents than the retriever's: make it anew from the documents")
    return module


def _digest(retriever: LexicalRetriever) -> str:
    """Differs when the vocabulary or its order does."""
    return hashlib.sha256("\n".join(retriever.vocabulary).encode("utf-8", "surrogatepass")).hexdigest()
