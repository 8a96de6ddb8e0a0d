"""Normalised discounted cumulative gain."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.metrics._lists import at_positive_ranks, check_lists, cut_weights, keep_nan, ratio, titled
from rankgrad.ops import RankFunction, hard_rank

Gain: TypeAlias = Literal["linear", "exp2"]


def ndcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    judged: Tensor | None = None,
    gain: Gain = "linear",
    ranker: RankFunction = hard_rank,
    empty: float = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Discounted gain of each list over that of its ideal order.

    ``nDCG = sum_i gain(y_i) c(r_i) / log2(1 + r_i)  /  sum_{i <= k} gain(y*_i) / log2(1 + i)`` with ranks ``r``, the
    judged labels ``y*`` in descending order and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``: 1 within k and 0 beyond on
    whole ranks, a ramp from k to k + 1 on soft ones. ``trec_eval``'s convention: linear gain, negative labels gain
    nothing. Ties: the lowest index ranks first (``trec_eval``: the greatest document id; sort a run so to agree with
    it).

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        gain: ``"linear"`` y, or ``"exp2"`` 2^y - 1.
        ranker: a soft one makes the metric differentiable in the scores.
        empty: the value of a list without a positive judged label (NaN to leave it out of a ``nanmean``).
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, an unknown gain, or k below 1.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, ACM TOIS 20, 2002. With a soft ranker:
        Qin, Liu, Li: A general approximation framework for direct optimization of IR measures, Information Retrieval
        13, 2010.

    Example:
        >>> ndcg(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 0]))
        tensor(0.6309)
    """
    labels, mask, judged = check_lists(scores, labels, mask, judged)
    ranks = ranker(scores, mask=mask)
    discounts = cut_weights(ranks, k, cut_temperature) / torch.log2(1 + at_positive_ranks(ranks))
    ideal = _gains(judged, gain).sort(dim=-1, descending=True).values
    ideal = ideal if k is None else ideal[..., :k]
    positions = torch.arange(1, ideal.shape[-1] + 1, device=ideal.device, dtype=ideal.dtype)
    best = (ideal / torch.log2(1 + positions)).sum(dim=-1)
    return keep_nan(ratio((_gains(labels, gain) * discounts).sum(dim=-1), best, empty), ranks)


def _gains(labels: Tensor, gain: Gain) -> Tensor:
    if gain == "linear":
        return labels.clamp(min=0.0)
    if gain == "exp2":
        return torch.exp2(labels.clamp(min=0.0)) - 1
    raise InputError(f'gain: expected "linear" or "exp2", got {gain!r}')


class NDCG(nn.Module):
    """:func:`ndcg` with its options held.

    Example:
        >>> NDCG(k=10).name
        'nDCG@10'
    """

    def __init__(
        self, k: int | None = None, *, gain: Gain = "linear", empty: float = 0.0, cut_temperature: float | None = None
    ) -> None:
        super().__init__()
        self.name = titled("nDCG", k)
        self.metric = partial(ndcg, k=k, gain=gain, empty=empty, cut_temperature=cut_temperature)

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
