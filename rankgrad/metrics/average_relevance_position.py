"""Average relevance position."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, in_runs, ratio
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def average_relevance_position(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
) -> Tensor:
    """The mean rank of what is relevant, weighted by relevance: lower is better.

    ``ARP = sum_i y_i r_i / sum_i y_i`` with ranks ``r`` and labels y, negative ones counting 0. To learn it, take its
    value itself for the loss, not 1 less it.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a positive label; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask, tie_order ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Wang, Li, Golbandi, Bendersky, Najork: The LambdaLoss framework for ranking metric optimization, CIKM 2018.

    Example:
        >>> import torch
        >>> average_relevance_position(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 2, 1]))
        tensor(2.3333)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        lists = rank_lists(scores, labels, mask, None, tie_order, ranker=ranker, ties=ties)
        worth = lists.labels.clamp(min=0.0)
        positions = (worth * lists.weights(lambda ranks: ranks)).sum(dim=-1)
        return lists.keep_nan(ratio(positions, worth.sum(dim=-1), empty))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


class AverageRelevancePosition(nn.Module):
    """:func:`average_relevance_position` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> AverageRelevancePosition().name
        'ARP'
    """

    def __init__(
        self,
        *,
        ties: Ties = "stable",
        empty: Empty = 0.0,
    ) -> None:
        super().__init__()
        self.name = "ARP"
        self.metric = partial(average_relevance_position, ties=ties, empty=empty)

    forward = forward_list
