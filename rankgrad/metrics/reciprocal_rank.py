"""Reciprocal rank of the first relevant document."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._first_relevant import first_relevant
from rankgrad.metrics._lists import Empty, count_from, cut_weights, empty_value, in_runs, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def reciprocal_rank(
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
    """1 over the rank of the first relevant item; 0 when none lies within k.

    ``max_{i relevant} c(r_i) / r_i`` with ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``, on whole ranks 1
    within k and 0 beyond. Its mean over queries is MRR.

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
        Voorhees: The TREC-8 question answering track report, TREC 1999. Ties: McSherry, Najork: Computing information
        retrieval performance measures efficiently in the presence of tied scores, ECIR 2008.

    Example:
        >>> import torch
        >>> reciprocal_rank(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]), k=10)
        tensor(0.5000)
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
        best = first_relevant(
            lists, lists.labels >= relevance_level, lambda ranks: cut_weights(ranks, k, cut_temperature) / ranks
        )
        nothing = count_from(lists.judged, relevance_level) == 0
        return lists.keep_nan(best.masked_fill(nothing, empty_value(empty)))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class ReciprocalRank(nn.Module):
    """:func:`reciprocal_rank` with its options held.

    Example:
        >>> ReciprocalRank(k=10).name
        'MRR@10'
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
        self.name = titled("MRR", k)
        self.metric = partial(
            reciprocal_rank,
            k=k,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged
