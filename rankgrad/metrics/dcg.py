"""Discounted cumulative gain."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._discounts import log_discounts
from rankgrad.metrics._lists import in_runs, titled
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.metrics.conventions import Gain, gains
from rankgrad.ops import RankFunction, hard_rank


def dcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    gain: Gain = "linear",
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """Gain of each list, what is further down counting less.

    ``DCG = sum_i gain(y_i) c(r_i) / log2(1 + r_i)`` with ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``, on
    whole ranks 1 within k and 0 beyond. Negative labels gain nothing.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        gain: ``"linear"`` y, ``"exp2"`` 2^y - 1, or a function of the labels.
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
        InputError: for shapes that do not fit, an unknown gain, or k below 1.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, ACM TOIS 20, 2002.

    Example:
        >>> import torch
        >>> dcg(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, 2, 0]))
        tensor(2.2619)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(scores, labels, mask, None, tie_order, ranker=ranker, ties=ties, first=first)
        discounts = lists.weights(lambda ranks: log_discounts(ranks, k, cut_temperature))
        return lists.keep_nan((gains(lists.labels, gain) * discounts).sum(dim=-1))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


class DCG(nn.Module):
    """:func:`dcg` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> DCG(k=10).name
        'DCG@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        gain: Gain = "linear",
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("DCG", k)
        self.metric = partial(dcg, k=k, gain=gain, ties=ties, cut_temperature=cut_temperature)

    forward = forward_list
