"""Reciprocal rank of the first relevant document."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import at_positive_ranks, check_lists, cut_weights, keep_nan, titled
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
    empty: float = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """1 over the rank of the first relevant item; 0 when none lies within k.

    ``max_{i relevant} c(r_i) / r_i`` with ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``, on whole ranks 1
    within k and 0 beyond. Its mean over queries is MRR. Ties: the lowest index ranks first.

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
        Voorhees: The TREC-8 question answering track report, TREC 1999.

    Example:
        >>> import torch
        >>> reciprocal_rank(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]), k=10)
        tensor(0.5000)
    """
    labels, mask, judged = check_lists(scores, labels, mask, judged, relevance_level=relevance_level)
    ranks = ranker(scores, mask=mask)
    reciprocals = cut_weights(ranks, k, cut_temperature) / at_positive_ranks(ranks)
    reciprocals = reciprocals.masked_fill(labels < relevance_level, 0.0)
    # A padding column lets a list without items have a maximum.
    best = nn.functional.pad(reciprocals, (0, 1)).amax(dim=-1)
    return keep_nan(best.masked_fill(~(judged >= relevance_level).any(dim=-1), empty), ranks)


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
        empty: float = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("MRR", k)
        self.metric = partial(
            reciprocal_rank, k=k, relevance_level=relevance_level, empty=empty, cut_temperature=cut_temperature
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
