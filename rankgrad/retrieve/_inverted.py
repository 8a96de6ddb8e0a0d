"""Searching term-major postings: what every lexical and every sparse retriever does alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.retrieve._compiled import compiled_search
from rankgrad.retrieve._top import check_allowed, check_k, top
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Ranking

# Score rows of a group of queries stay near the cache: 2**20 floats are 4 MiB.
_GROUP_ELEMENTS = 1 << 20

Finish = Callable[[Tensor, WeightedTerms], Tensor]
"""Makes final scores ``[queries, documents]`` of the sums over shared terms; -inf = not found."""


class Inverted(Protocol):
    """A module whose buffers are term-major postings."""

    indptr: Tensor
    rows: Tensor
    weights: Tensor
    documents: int


def search(
    index: Inverted,
    terms: WeightedTerms,
    k: int,
    *,
    allowed: Tensor | None = None,
    finish: Finish | None = None,
) -> Ranking:
    """Rank the ``k`` best documents of each query, a group of queries at a time.

    Args:
        index: the postings.
        terms: the queries.
        k: documents a query.
        allowed: bool ``[documents]`` or ``[queries, documents]``, the documents that may be found; None = all.
        finish: makes scores of the sums; without it, documents whose sum is not above 0 are not found.

    Raises:
        InputError: for ``k`` below 1 or above the size of the collection.
    """
    check_k(k, index.documents)
    if allowed is not None:
        allowed = check_allowed(allowed, terms.queries, index.documents)
    found = None if finish is not None else compiled_search(index, terms, k, allowed)
    if found is not None:
        return found
    group = max(1, _GROUP_ELEMENTS // index.documents)
    parts = []
    for start in range(0, terms.queries, group):
        part = terms.part(start, start + group)
        scores = sums(index, part)
        if finish is not None:
            scores = finish(scores, part)
        if allowed is not None:
            scores = scores.masked_fill(~allowed[start : start + group].to(scores.device), -torch.inf)
        parts.append(top(scores, k, floor=0.0 if finish is None else -torch.inf))
    return Ranking(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def sums(index: Inverted, terms: WeightedTerms) -> Tensor:
    """For each query and document the sum of weights of shared terms, float32 ``[queries, documents]``."""
    scores = torch.zeros(terms.queries, index.documents, device=index.weights.device)
    wanted = torch.from_numpy(terms.positions).to(index.indptr.device)
    starts, ends = index.indptr[wanted].tolist(), index.indptr[wanted + 1].tolist()
    # Term by term: within a term no document repeats, so the sum has one order on every device.
    for owner, start, end, weight in zip(terms.owners.tolist(), starts, ends, terms.weights.tolist(), strict=True):
        scores[owner].index_add_(0, index.rows[start:end], index.weights[start:end], alpha=weight)
    return scores


def check_postings(folder: str | Path, vocabulary: Collection[object], index: Inverted) -> None:
    """Refuse buffers that do not belong together.

    Raises:
        InputError: naming the folder.
    """
    entries = {len(index.rows), len(index.weights), int(index.indptr[-1])}
    outside = len(index.rows) > 0 and int(index.rows.max()) >= index.documents
    if len(index.indptr) != len(vocabulary) + 1 or len(entries) > 1 or outside:
        raise InputError(f"{folder}: vocabulary and tensors are of different indexes: write it again")
