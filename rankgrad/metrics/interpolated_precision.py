"""Interpolated precision at a level of recall."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.metrics._lists import Empty, at_positive_ranks, count_from, empty_value, in_runs
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def interpolated_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    recall_level: float = 0.0,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
) -> Tensor:
    """The highest precision at any rank by which a share of the relevant documents is found.

    ``max p_i / r_i`` over the relevant items with ``p_i >= round(recall_level R)``, where ``r`` are ranks, ``p_i`` the
    rank of i among the relevant items alone and R the number of relevant judged documents; 0 where that many are not
    found. Halves are rounded up. ``trec_eval``'s ``iprec_at_recall``.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        recall_level: between 0 and 1.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a relevant judged document; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for
        float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, a recall level outside [0, 1], a relevance level not above 0, or
            ``ties="average"``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Buckley, Voorhees: Retrieval system evaluation, in TREC: experiment and evaluation in information retrieval,
        2005.

    Example:
        >>> import torch
        >>> interpolated_precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]), recall_level=0.5)
        tensor(0.6667)
    """
    no_average(ties, "interpolated precision")
    if not 0 <= recall_level <= 1:
        raise InputError(f"recall_level: expected a share between 0 and 1, got {recall_level}")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        lists = rank_lists(
            scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, relevance_level=relevance_level
        )
        relevant = lists.labels >= relevance_level
        total = count_from(lists.judged, relevance_level).unsqueeze(-1)
        # In float64: which of two whole numbers a level means must not hang on float32's rounding.
        wanted = (recall_level * total.double() + 0.5).floor()
        found = lists.ranks_among(relevant)
        precisions = (found / at_positive_ranks(lists.ranks)).where(relevant & (found.detach() > wanted - 0.5), 0.0)
        best = nn.functional.pad(precisions, (0, 1)).amax(dim=-1)
        return lists.keep_nan(best.masked_fill(total.squeeze(-1) == 0, empty_value(empty)))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class InterpolatedPrecision(nn.Module):
    """:func:`interpolated_precision` with its options held.

    Example:
        >>> InterpolatedPrecision(0.1).name
        'IPrec@0.1'
    """

    def __init__(
        self,
        recall_level: float = 0.0,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
    ) -> None:
        super().__init__()
        self.name = f"IPrec@{recall_level:g}"
        self.metric = partial(
            interpolated_precision, recall_level=recall_level, relevance_level=relevance_level, ties=ties, empty=empty
        )

    forward = forward_judged
