"""Searching postings on a CPU by the compiled loop of ``_max_score.py``, where numba is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Ranking

if TYPE_CHECKING:
    from rankgrad.retrieve._inverted import Inverted

# Below this many entries of an index, or scores of a call, loading numba takes longer than it saves.
_ENTRIES, _SCORES = 1 << 20, 1 << 22
_QUERIES_A_THREAD = 16


class _Prepared:
    """What the loop needs of an index besides its buffers: the most that each term adds, and room to work in."""

    def __init__(self, index: Inverted, state: tuple[Any, ...]) -> None:
        self.state = state
        indptr, rows, weights = (each.numpy() for each in (index.indptr, index.rows, index.weights))
        lengths = np.diff(indptr)
        # Everything that keeps the loop inside its arrays, and partial sums below whole ones.
        self.usable = bool(
            len(weights)
            and indptr[0] == 0
            and indptr[-1] == len(weights) == len(rows)
            and lengths.min() >= 0
            and rows.min() >= 0
            and rows.max() < index.documents
            and weights.min() >= 0
            and np.isfinite(weights.max())
        )
        if self.usable:
            most = np.zeros(len(lengths), dtype=np.float32)
            most[lengths > 0] = np.maximum.reduceat(weights, indptr[:-1][lengths > 0])
            self.arrays = (indptr, rows.view(np.uint32), weights, most)
        self.spaces: list[tuple[np.ndarray, ...]] = []

    def space(self, documents: int) -> tuple[np.ndarray, ...]:
        """Room for one thread; given back by appending it to ``spaces`` when it is clean again."""
        try:
            return self.spaces.pop()
        except IndexError:
            bits = np.zeros(documents // 32 + 1, dtype=np.uint32)
            sums, slots = np.zeros(documents, dtype=np.float32), np.zeros(documents, dtype=np.uint32)
            return sums, slots, bits, np.empty(documents, dtype=np.uint32)


_EVERYTHING = np.zeros((0, 0), dtype=np.bool_)
_PREPARED: WeakKeyDictionary[Any, _Prepared] = WeakKeyDictionary()


def compiled_search(index: Inverted, terms: WeightedTerms, k: int, allowed: Tensor | None) -> Ranking | None:
    """The ranking that adding up columns gives, to the last bit; None where the loop cannot or need not do it."""
    small = len(index.weights) < _ENTRIES and terms.queries * index.documents < _SCORES
    if small and "numba" not in sys.modules:
        return None
    loop = _loop()
    prepared = None if loop is None else _prepared(index)
    if loop is None or prepared is None or (allowed is not None and allowed.device.type != "cpu"):
        return None
    starts = terms.owners.searchsorted(np.arange(terms.queries + 1))
    positions, factors = terms.positions.astype(np.int64, copy=False), terms.weights.astype(np.float32)
    masks = _EVERYTHING if allowed is None else _masks(allowed)
    ids, scores = np.empty((terms.queries, k), dtype=np.int64), np.empty((terms.queries, k), dtype=np.float32)

    def part(first: int, end: int) -> bool:
        space = prepared.space(index.documents)
        done = loop((first, end, starts, positions, factors), prepared.arrays, k, masks, space, ids, scores)
        prepared.spaces.append(space)
        return done

    if not _in_threads(part, terms.queries):
        return None
    found = torch.from_numpy(ids)
    return Ranking(found, torch.from_numpy(scores), found >= 0)


def _prepared(index: Inverted) -> _Prepared | None:
    """What was prepared, anew where a buffer has changed; None for buffers that numpy does not see, or cannot use."""
    buffers = (index.indptr, index.rows, index.weights)
    if any(each.is_inference() for each in buffers):
        return None  # torch does not count their changes
    state = (index.documents, *((each.data_ptr(), each._version) for each in buffers))
    prepared = _PREPARED.get(index)
    if prepared is None or prepared.state != state:
        if not _fits(buffers):
            return None
        prepared = _PREPARED[index] = _Prepared(index, state)
    return prepared if prepared.usable else None


def _fits(buffers: tuple[Tensor, ...]) -> bool:
    types = (torch.int64, torch.int32, torch.float32)
    return all(
        each.device.type == "cpu" and each.dtype == dtype and each.is_contiguous() and not each.requires_grad
        for each, dtype in zip(buffers, types, strict=True)
    )


def _masks(allowed: Tensor) -> np.ndarray:
    """One row where all queries have the same."""
    return (allowed[:1] if allowed.stride(0) == 0 else allowed).contiguous().numpy()


def _in_threads(part: Callable[[int, int], bool], queries: int) -> bool:
    """Do all parts; were all done?"""
    threads = min(torch.get_num_threads(), queries // _QUERIES_A_THREAD)
    if threads < 2:
        return part(0, queries)
    # Smaller parts than threads, since queries take differently long.
    step = -(-queries // (4 * threads))
    with ThreadPoolExecutor(threads) as pool:
        parts = [pool.submit(part, first, min(first + step, queries)) for first in range(0, queries, step)]
        done = [each.result() for each in parts]
        return all(done)


@cache
def _loop() -> Callable[..., bool] | None:
    """The compiled loop, None where numba is not installed."""
    if find_spec("numba") is None:
        return None
    from rankgrad.retrieve._max_score import rank_queries

    return rank_queries
