"""Average precision."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import at_positive_ranks, check_lists, cut_weights, keep_nan, ratio, titled
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
    empty: float = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Mean, over all relevant documents, of the precision at the rank where each is found.

    ``1/R sum_{i relevant} c(r_i) p_i / r_i`` with ranks ``r``, ``p_i`` the rank of i among the relevant items alone
    (how many have been found by then), R relevant judged documents, and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``. Its
    mean over queries is MAP. Ties: the lowest index ranks first.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        empty: the value of a list without a relevant judged document (NaN to leave it out of a ``nanmean``).
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Buckley, Voorhees: Retrieval system evaluation, in TREC: experiment and evaluation in information retrieval,
        2005. With a soft ranker: Brown et al.: Smooth-AP, ECCV 2020.

    Example:
        >>> import torch
        >>> average_precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]))
        tensor(0.5833)
    """
    labels, mask, judged = check_lists(scores, labels, mask, judged, relevance_level=relevance_level)
    relevant = (labels >= relevance_level) & mask
    ranks, found = ranker(scores, mask=mask), ranker(scores, mask=relevant)
    precisions = cut_weights(ranks, k, cut_temperature) * found / at_positive_ranks(ranks)
    total = (judged >= relevance_level).sum(dim=-1)
    return keep_nan(ratio(precisions.masked_fill(~relevant, 0.0).sum(dim=-1), total, empty), ranks)


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
        empty: float = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("MAP", k)
        self.metric = partial(
            average_precision, k=k, relevance_level=relevance_level, empty=empty, cut_temperature=cut_temperature
        )

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        judged: Tensor | None = None,
        ranker: RankFunction | None = None,
    ) -> Tensor:
        return self.metric(scores, labels, mask, judged=judged, ranker=ranker or hard_rank)
