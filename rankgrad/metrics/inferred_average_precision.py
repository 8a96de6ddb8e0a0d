"""Inferred average precision (infAP)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, at_positive_ranks, count_from, in_runs, ratio
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank

_EPSILON = 1e-5


def inferred_average_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
) -> Tensor:
    """Average precision as a sample of the pool's judgements lets one expect it.

    ``1/R sum_{i relevant} (1 + p_i (q_i + e) / (q_i + n_i + 2 e)) / r_i`` with ranks ``r``, and of the items above i:
    ``p_i`` in the pool, ``q_i`` judged relevant, ``n_i`` judged irrelevant; e is 1e-5 and R the number of relevant
    judged documents. Where all is judged it is average precision, to e.

    A label of -1 marks an item outside of the pool, which is taken for irrelevant, one below that an item of the pool
    that was not drawn for judging.

    Args:
        scores: higher is better.
        labels: graded relevance; relevant from ``relevance_level`` up, -1 outside of the pool, -2 pooled but not
            judged.
        mask: True = a real item.
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
        InputError: for shapes that do not fit, a relevance level not above 0, or ``ties="average"``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Yilmaz, Aslam: Estimating average precision with incomplete and imperfect judgments, CIKM 2006; as in trec_eval.

    Example:
        >>> import torch
        >>> scores = torch.arange(7.0, 0.0, -1.0)
        >>> inferred_average_precision(scores, torch.tensor([1, 0, -2, 1, -1, 0, 1]), judged=torch.ones(4))
        tensor(0.5312)
    """
    no_average(ties, "infAP")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        lists = rank_lists(
            scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, relevance_level=relevance_level
        )
        relevant, known = lists.labels >= relevance_level, lists.known()
        pool = known | (lists.labels < -1)
        found = lists.ranks_among(relevant) - 1
        shares = (found + _EPSILON) / (lists.ranks_among(known) - 1 + 2 * _EPSILON).where(relevant, 1.0)
        expected = 1 + (lists.ranks_among(pool) - 1) * shares
        precisions = (expected / at_positive_ranks(lists.ranks)).where(relevant, 0.0)
        total = count_from(lists.judged, relevance_level)
        return lists.keep_nan(ratio(precisions.sum(dim=-1), total, empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class InferredAveragePrecision(nn.Module):
    """:func:`inferred_average_precision` with its options held.

    Example:
        >>> InferredAveragePrecision().name
        'infAP'
    """

    def __init__(
        self,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
    ) -> None:
        super().__init__()
        self.name = "infAP"
        self.metric = partial(inferred_average_precision, relevance_level=relevance_level, ties=ties, empty=empty)

    forward = forward_judged
