"""Average precision."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._first_relevant import tied_counts
from rankgrad.metrics._lists import Empty, at_positive_ranks, count_from, cut_weights, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import RankedLists, Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def average_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Mean, over all relevant documents, of the precision at the rank where each is found.

    ``1/R sum_{i relevant} c(r_i) p_i / r_i`` with ranks ``r``, ``p_i`` the rank of i among the relevant items alone
    (how many have been found by then), R relevant judged documents, and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``. Its
    mean over queries is MAP.

    With ``ties="average"``, of a run of n tied items with m relevant ones, after s items with q relevant ones, place j
    holds a relevant item with probability ``m/n``, and ``q + 1 + (j - 1) (m - 1) / (n - 1)`` are then found by rank ``s
    + j``.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a relevant judged document; ``"skip"`` is NaN, which ``nanmean`` leaves out.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for
        float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Buckley, Voorhees: Retrieval system evaluation, in TREC: experiment and evaluation in information retrieval,
        2005. Ties: McSherry, Najork: Computing information retrieval performance measures efficiently in the presence
        of tied scores, ECIR 2008. With a soft ranker: Brown et al.: Smooth-AP, ECCV 2020.

    Example:
        >>> import torch
        >>> average_precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]))
        tensor(0.5833)
    """

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(
            scores,
            labels,
            mask,
            judged,
            tie_order,
            ranker=ranker,
            ties=ties,
            first=first,
            relevance_level=relevance_level,
        )
        relevant = lists.labels >= relevance_level
        inside = cut_weights(lists.ranks, k, cut_temperature) / at_positive_ranks(lists.ranks)
        if lists.ties is None:
            precisions = inside * lists.ranks_among(relevant)
        else:
            precisions = inside * _expected_found(lists, relevant)
        total = count_from(lists.judged, relevance_level)
        return lists.keep_nan(ratio(precisions.sum(dim=-1), total, empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


def _expected_found(lists: RankedLists, relevant: Tensor) -> Tensor:
    """At each place, the chance of a relevant item times how many are expected to be found by then."""
    before, inside, size, place = tied_counts(lists, relevant)
    return inside / size * (before + 1 + place * (inside - 1) / (size - 1).clamp(min=1.0))


class AveragePrecision(nn.Module):
    """:func:`average_precision` with its options held.

    Example:
        >>> AveragePrecision().name
        'MAP'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("MAP", k)
        self.metric = partial(
            average_precision,
            k=k,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged
