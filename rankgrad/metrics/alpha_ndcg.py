"""Alpha-nDCG: gains for what is new."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.metrics._discounts import log_discounts
from rankgrad.metrics._lists import Empty, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def alpha_ndcg(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    alpha: float = 0.5,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Discounted gain of topics, each worth less with every item that covered it before, over that of a greedy order.

    ``DCG = sum_i c(r_i) / log2(1 + r_i) sum_t J_it (1 - alpha)^(n_it)`` with ranks ``r``, the cut
    ``c(r) = clamp(k + 1 - r, 0, 1)``, ``J_it`` 1 where item i is relevant to topic t, and ``n_it`` items before i that
    are. The ideal order takes the judged document of the highest gain each time, of equal ones the lowest index:
    finding the best order is hard. With a soft ranker the ranks are soft and who comes before whom stays hard.

    Args:
        scores: higher is better.
        labels: graded relevance to each topic; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        alpha: the share of a topic's worth that is lost each time it is covered.
        judged: labels of all judged documents, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a relevant judged document; ``"skip"`` is NaN, which ``nanmean`` leaves out.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, mask, tie_order ``[..., items]``, labels ``[..., items, topics]``, judged ``[..., judged, topics]`` ->
        ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, alpha outside [0, 1], a relevance level not above 0, or
            ``ties="average"``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Clarke, Kolla, Cormack, Vechtomova, Ashkan, Büttcher, MacKinnon: Novelty and diversity in information retrieval
        evaluation, SIGIR 2008.

    Example:
        >>> scores, labels = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
        >>> alpha_ndcg(scores, labels)
        tensor(0.8426)
    """
    no_average(ties, "alpha-nDCG")
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha: expected a share between 0 and 1, got {alpha}")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        lists = rank_lists(
            scores,
            labels,
            mask,
            judged,
            tie_order,
            ranker=ranker,
            ties=ties,
            relevance_level=relevance_level,
            topics=True,
        ).in_order()
        covers = (lists.labels >= relevance_level).to(lists.labels.dtype)
        worth = (covers * _decayed(covers.cumsum(dim=-2) - covers, alpha)).sum(dim=-1)
        discounts = lists.weights(lambda ranks: log_discounts(ranks, k, cut_temperature))
        best = _greedy((lists.judged >= relevance_level).to(worth.dtype), k, alpha)
        return lists.keep_nan(ratio((worth * discounts).sum(dim=-1), best, empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


def _decayed(times: Tensor, alpha: float) -> Tensor:
    return (1 - alpha) ** times


def _greedy(covers: Tensor, k: int | None, alpha: float) -> Tensor:
    """The discounted gain of the order that always takes the document of the highest gain."""
    documents = covers.shape[-2]
    left, times, best = covers, torch.zeros_like(covers[..., :1, :]), covers.sum(dim=(-2, -1)) * 0
    for place in range(1, min(documents, k or documents) + 1):
        worth = (left * _decayed(times, alpha)).sum(dim=-1)
        gain, chosen = worth.max(dim=-1, keepdim=True)
        best = best + log_discounts(torch.full_like(gain.squeeze(-1), place), None, None) * gain.squeeze(-1)
        row = chosen.unsqueeze(-1).expand(*chosen.shape, covers.shape[-1])
        times = times + left.gather(-2, row)
        left = left.scatter(-2, row, 0.0)
    return best


class AlphaNDCG(nn.Module):
    """:func:`alpha_ndcg` with its options held.

    Example:
        >>> AlphaNDCG(k=20).name
        'alpha-nDCG@20'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        alpha: float = 0.5,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("alpha-nDCG", k)
        self.metric = partial(
            alpha_ndcg,
            k=k,
            alpha=alpha,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged
