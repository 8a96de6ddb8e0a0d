"""Normalised discounted cumulative gain."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._discounts import ideal_dcg, log_discounts
from rankgrad.metrics._lists import Empty, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.metrics.conventions import Gain, gains
from rankgrad.ops import RankFunction, hard_rank


def ndcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    judged: Tensor | None = None,
    gain: Gain = "linear",
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Discounted gain of each list over that of its ideal order.

    ``nDCG = sum_i gain(y_i) c(r_i) / log2(1 + r_i) / sum_{i <= k} gain(y*_i) / log2(1 + i)`` with ranks ``r``, the
    judged labels ``y*`` in descending order and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``: 1 within k and 0 beyond on
    whole ranks, a ramp from k to k + 1 on soft ones. Negative labels gain nothing. The defaults are ``trec_eval``'s but
    for ties, which need the documents' ids; ``TREC``, ``RAX``, ``SKLEARN`` and ``LIGHTGBM`` name others' conventions.

    With ``ties="average"`` tied items share the mean of their discounts, which is the mean over all their orders.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        gain: ``"linear"`` y, ``"exp2"`` 2^y - 1, or a function of the labels.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a positive judged label; ``"skip"`` is NaN, which ``nanmean`` leaves out.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for
        float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, an unknown gain, k below 1, or (on a CPU) a label whose gain is no
            finite number.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, ACM TOIS 20, 2002. Ties: McSherry,
        Najork: Computing information retrieval performance measures efficiently in the presence of tied scores, ECIR
        2008. With a soft ranker: Qin, Liu, Li: A general approximation framework for direct optimization of IR
        measures, Information Retrieval 13, 2010.

    Example:
        >>> import torch
        >>> ndcg(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 0]))
        tensor(0.6309)
    """

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, first=first)
        discounts = lists.weights(lambda ranks: log_discounts(ranks, k, cut_temperature))
        found = (gains(lists.labels, gain) * discounts).sum(dim=-1)
        return lists.keep_nan(ratio(found, ideal_dcg(lists.judged, gain, k), empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class NDCG(nn.Module):
    """:func:`ndcg` with its options held.

    Example:
        >>> NDCG(k=10).name
        'nDCG@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        gain: Gain = "linear",
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("nDCG", k)
        self.metric = partial(ndcg, k=k, gain=gain, ties=ties, empty=empty, cut_temperature=cut_temperature)

    forward = forward_judged
