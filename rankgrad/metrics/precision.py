"""Precision."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import check_lists, cut_weights, keep_nan, ratio, titled
from rankgrad.ops import RankFunction, hard_rank


def precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    cut_temperature: float | None = None,
) -> Tensor:
    """Share of relevant documents among the first k.

    ``1/k sum_{i relevant} c(r_i)`` with ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``, on whole ranks 1
    within k and 0 beyond. As in ``trec_eval`` a list shorter than k is divided by k too; with ``k=None`` by its number
    of real items. A list without real items has precision 0. Ties: the lowest index ranks first.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

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
    labels, mask, _ = check_lists(scores, labels, mask, relevance_level=relevance_level)
    ranks = ranker(scores, mask=mask)
    found = cut_weights(ranks, k, cut_temperature).masked_fill((labels < relevance_level) | ~mask, 0.0).sum(dim=-1)
    return keep_nan(found / k if k else ratio(found, mask.sum(dim=-1), 0.0), ranks)


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
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("P", k)
        self.metric = partial(precision, k=k, relevance_level=relevance_level, cut_temperature=cut_temperature)

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        judged: Tensor | None = None,
        ranker: RankFunction | None = None,
    ) -> Tensor:
        return self.metric(scores, labels, mask, ranker=ranker or hard_rank)
