"""Several metrics of the same lists, which are sorted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.metrics._lists import check_lists, in_runs
from rankgrad.metrics._order import ranked_order
from rankgrad.metrics._ranked import check_tie_order, listed_rank
from rankgrad.ops import RankFunction


class Metric(Protocol):
    """A module of :mod:`rankgrad.metrics` whose labels are one a document."""

    @property
    def name(self) -> str: ...

    def __call__(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        judged: Tensor | None = None,
        ranker: RankFunction | None = None,
    ) -> Tensor: ...


def measure_lists(
    metrics: Sequence[Metric],
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    tie_order: Tensor | None = None,
) -> dict[str, Tensor]:
    """The values of several metrics, each as if it were called alone.

    Sorting is most of the work of a metric on hard ranks. Here lists are sorted once, and on a CPU a part of the lists
    at a time, so that what lies between is never written to memory.

    Args:
        metrics: modules such as ``NDCG(k=10)``. Of equal scores those with ``ties="stable"`` and ``"trec"`` rank the
            higher ``tie_order`` first where one is given, else the lower index.
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        tie_order: each document id's place among the ids of its list.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]`` each.

    Returns:
        The values by the metrics' names.

    Raises:
        InputError: for no metric, two of the same name, and whatever a metric refuses.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Example:
        >>> from rankgrad.metrics import NDCG, Recall
        >>> measure_lists([NDCG(k=2), Recall(k=2)], torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 1, 0]]))
        {'nDCG@2': tensor([0.6309]), 'recall@2': tensor([1.])}
    """
    names = [metric.name for metric in metrics]
    if not names:
        raise InputError("metrics: expected at least one, such as NDCG(k=10)")
    if len(set(names)) < len(names):
        raise InputError(f"metrics: two have the same name: {', '.join(names)}; measure them one after the other")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        own, _ = check_lists(scores, labels, mask, judged)
        if tie_order is not None:
            check_tie_order(tie_order, scores)
        order = ranked_order(scores, mask, tie_order)
        given = (scores.gather(-1, order), own.gather(-1, order), None if mask is None else mask.gather(-1, order))
        found = [metric(*given, judged=judged, ranker=listed_rank) for metric in metrics]
        return torch.stack(found, dim=-1)

    found = in_runs(values, scores, labels, mask, judged, tie_order)
    return dict(zip(names, found.unbind(dim=-1), strict=True))
