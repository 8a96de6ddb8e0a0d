"""Runs beside their judgements, as padded tensors that a metric takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.records import Qrels, Run

_ITEMS = 1 << 20
NOT_POOLED, NOT_JUDGED = -1, -2
"""Labels of documents that the judgements do not name, and that they name with a grade below 0; as in trec_eval."""


class JudgedLists(NamedTuple):
    """Ranked documents of some queries with their grades.

    Shape:
        queries: ids.
        scores: float64 ``[queries, items]``, higher is better.
        labels: float32 ``[queries, items]``, -1 for a document without a judgement, -2 for one judged below 0.
        mask: bool ``[queries, items]``, True = a real document.
        tie_order: int64 ``[queries, items]``, each id's place among those of its query, or None where no two scores of
            a query are equal.
        judged: float32 ``[queries, judged]``, grades of all judged documents, padded with -1.
    """

    queries: tuple[str, ...]
    scores: Tensor
    labels: Tensor
    mask: Tensor
    tie_order: Tensor | None
    judged: Tensor


def judged_lists(
    run: Run | Iterable[tuple[str, dict[str, float]]],
    qrels: Qrels,
    *,
    complete: bool = False,
    depth: int | None = None,
    only_judged: bool = False,
    items: int = _ITEMS,
) -> Iterator[JudgedLists]:
    """The judged queries of a run, some at a time; queries without judgements are left out, as in trec_eval.

    Args:
        run: by query, or (query, scores) one after the other, as :func:`rankgrad.data.stream_run` gives them.
        qrels: judgements.
        complete: judged queries that the run lacks come last, without documents.
        depth: the best so many documents of each query, of equal scores the greatest id first; None = all.
        only_judged: leave out documents without a judgement, after that cut.
        items: about how many documents to hold at a time.

    Raises:
        InputError: for a depth below 1.

    Example:
        >>> lists = next(judged_lists({"q": {"a": 0.5, "b": 0.5, "c": 0.1}}, {"q": {"b": 2, "d": 1}}))
        >>> lists.labels, lists.tie_order, lists.judged
        (tensor([[-1.,  2., -1.]]), tensor([[0, 1, 2]]), tensor([[2., 1.]]))
    """
    if depth is not None and depth < 1:
        raise InputError(f"depth: expected at least 1, got {depth}")
    batch: list[_Row] = []
    widest, missing = 1, dict.fromkeys(qrels) if complete else {}
    for query, scores in run.items() if isinstance(run, dict) else run:
        if query not in qrels:
            continue
        missing.pop(query, None)
        row = _row(query, scores, qrels[query], depth, only_judged)
        widest = max(widest, len(row.scores), len(row.judged))
        batch.append(row)
        if len(batch) * widest >= items:
            yield _together(batch)
            batch, widest = [], 1
    batch += [_row(query, {}, qrels[query], depth, only_judged) for query in missing]
    if batch:
        yield _together(batch)


class _Row(NamedTuple):
    query: str
    scores: np.ndarray
    labels: np.ndarray
    ties: np.ndarray | None
    judged: list[int]


def _row(query: str, scores: dict[str, float], grades: dict[str, int], depth: int | None, only_judged: bool) -> _Row:
    if grades and min(grades.values()) < 0:
        grades = {name: grade if grade >= 0 else NOT_JUDGED for name, grade in grades.items()}
    if depth is not None and len(scores) > depth:
        scores = dict(sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)[:depth])
    if only_judged:
        scores = {name: score for name, score in scores.items() if grades.get(name, NOT_POOLED) >= 0}
    count = len(scores)
    values = np.fromiter(scores.values(), dtype=np.float64, count=count)
    labels = np.fromiter(map(grades.get, scores, repeat(NOT_POOLED)), dtype=np.float32, count=count)
    ties = None
    if len(set(scores.values())) < count:
        # strcmp looks at bytes, whose order in UTF-8 is that of the characters.
        ties = np.empty(count, dtype=np.int64)
        names = list(scores)
        ties[sorted(range(count), key=names.__getitem__)] = np.arange(count)
    return _Row(query, values, labels, ties, list(grades.values()))


def _together(rows: list[_Row]) -> JudgedLists:
    mask = _real([len(row.scores) for row in rows])
    judged = _real([len(row.judged) for row in rows])
    grades = np.fromiter(chain.from_iterable(row.judged for row in rows), dtype=np.float32)
    ties = None
    if any(row.ties is not None for row in rows):
        none = [np.zeros(len(row.scores), dtype=np.int64) for row in rows]
        ties = _padded(
            [zeros if row.ties is None else row.ties for row, zeros in zip(rows, none, strict=True)], mask, 0
        )
    return JudgedLists(
        tuple(row.query for row in rows),
        _padded([row.scores for row in rows], mask, 0.0),
        _padded([row.labels for row in rows], mask, NOT_POOLED),
        torch.from_numpy(mask),
        ties,
        _padded([grades], judged, NOT_POOLED),
    )


def _padded(parts: list[np.ndarray], real: np.ndarray, fill: float) -> Tensor:
    padded = np.full(real.shape, fill, dtype=parts[0].dtype)
    padded[real] = np.concatenate(parts)
    return torch.from_numpy(padded)


def _real(lengths: list[int]) -> np.ndarray:
    return np.arange(max(lengths)) < np.array(lengths)[:, None]
