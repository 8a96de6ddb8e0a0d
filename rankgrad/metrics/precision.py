"""Precision."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import cut_weights, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """Share of relevant documents among the first k.

    ``1/k sum_{i relevant} c(r_i)`` with ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``, on whole ranks 1
    within k and 0 beyond. As in ``trec_eval`` a list shorter than k is divided by k too; with ``k=None`` by its number
    of real items. A list without real items has precision 0.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Example:
        >>> import torch
        >>> precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]), k=2)
        tensor(0.5000)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(
            scores,
            labels,
            mask,
            None,
            tie_order,
            ranker=ranker,
            ties=ties,
            first=first,
            relevance_level=relevance_level,
        )
        inside = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature))
        found = (inside * (lists.labels >= relevance_level)).sum(dim=-1)
        return lists.keep_nan(found / k if k else ratio(found, lists.length(), 0.0))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


class Precision(nn.Module):
    """:func:`precision` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> Precision(k=10).name
        'P@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("P", k)
        self.metric = partial(
            precision, k=k, relevance_level=relevance_level, ties=ties, cut_temperature=cut_temperature
        )

    forward = forward_list
