"""Runs beside their judgements, as padded tensors that a metric takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    labels: list[int]
    ties: np.ndarray | None
    judged: list[int]


def _row(query: str, scores: dict[str, float], grades: dict[str, int], depth: int | None, only_judged: bool) -> _Row:
    if grades and min(grades.values()) < 0:
        grades = {name: grade if grade >= 0 else NOT_JUDGED for name, grade in grades.items()}
    if depth is not None and len(scores) > depth:
        scores = dict(sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)[:depth])
    if only_judged:
        scores = {name: score for name, score in scores.items() if grades.get(name, NOT_POOLED) >= 0}
    values = np.fromiter(scores.values(), dtype=np.float64, count=len(scores))
    ties = None
    if len(set(scores.values())) < len(scores):
        # strcmp looks at bytes, whose order in UTF-8 is that of the characters.
        ties = np.empty(len(scores), dtype=np.int64)
        names = list(scores)
        ties[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    labels = [grades.get(name, NOT_POOLED) for name in scores]
    return _Row(query, values, labels, ties, list(grades.values()))


def _together(rows: list[_Row]) -> JudgedLists:
    lengths = np.array([len(row.labels) for row in rows])
    scores = _padded([row.scores for row in rows], 0.0, np.float64)
    ties = None
    if any(row.ties is not None for row in rows):
        ties = _padded([np.zeros(0) if row.ties is None else row.ties for row in rows], 0, np.int64, scores.shape[1])
    return JudgedLists(
        tuple(row.query for row in rows),
        scores,
        _padded([row.labels for row in rows], NOT_POOLED, np.float32, scores.shape[1]),
        torch.from_numpy(np.arange(scores.shape[1]) < lengths[:, None]),
        ties,
        _padded([row.judged for row in rows], NOT_POOLED, np.float32),
    )


def _padded(rows: list, fill: float, dtype: type, width: int | None = None) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows)) if width is None else width), fill, dtype=dtype)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded)
