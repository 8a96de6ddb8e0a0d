"""Reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned
from rankgrad.ops import RankFunction
from rankgrad.types import Ranking


def reciprocal_rank_fusion(
    rankings: Sequence[Ranking],
    *,
    k: float | Tensor = 60.0,
    weights: Weights = None,
    first_rank: Literal[0, 1] = 1,
    ranker: RankFunction | None = None,
) -> Ranking:
    """Sum of reciprocal ranks: ``s(d) = sum_l w_l / (k + r_l(d))`` over the lists that hold d; others add nothing.

    Args:
        rankings: one a list, of the same queries.
        k: how slowly the lists decay; a tensor takes a gradient.
        weights: of the lists; None = 1; a tensor takes a gradient.
        first_rank: 1 as published, 0 as Qdrant counts (whose k of 61 is the paper's 60).
        ranker: takes ranks from the scores; with a soft one the gradient reaches them. None = places in the lists.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Returns:
        the documents of all lists; of equal scores the lower id first.

    Raises:
        InputError: for ``k + first_rank`` that is not above 0 and finite, or weights or rankings that cannot be used.

    Reference:
        Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning methods,
        SIGIR 2009.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> fused = reciprocal_rank_fusion([one, other], k=1)
        >>> fused.ids, fused.scores
        (tensor([[3, 7, 5]]), tensor([[0.8333, 0.5000, 0.3333]]))
    """
    _check(k, first_rank)
    return fuse(rankings, partial(_terms, k=k, weights=weights, first_rank=first_rank), ranker=ranker)


class ReciprocalRankFusion(nn.Module):
    """:func:`reciprocal_rank_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> ReciprocalRankFusion(k=1, weights=(1, 3))([one, one]).scores
        tensor([[2.]])
    """

    def __init__(
        self,
        *,
        k: float | Tensor = 60.0,
        weights: Weights = None,
        first_rank: Literal[0, 1] = 1,
        ranker: RankFunction | None = None,
    ) -> None:
        super().__init__()
        _check(k, first_rank)
        self.k, self.weights, self.ranker = k, weights, ranker
        self.first_rank: Literal[0, 1] = first_rank

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return _terms(aligned, k=self.k, weights=self.weights, first_rank=self.first_rank)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions, ranker=self.ranker)


def _terms(aligned: Aligned, *, k: float | Tensor, weights: Weights, first_rank: int) -> Tensor:
    held = aligned.held
    k = k.to(held.device) if isinstance(k, Tensor) else k
    # Absent documents have rank 0; they get 1 so that no division by 0 reaches the gradient.
    return list_weights(weights, aligned) * held / (aligned.ranks + (1 - held) + (k + first_rank - 1))


def _check(k: float | Tensor, first_rank: int) -> None:
    if first_rank not in (0, 1):
        raise InputError(f"first_rank: expected 0 or 1, got {first_rank!r}")
    value = float(k.detach()) if isinstance(k, Tensor) else k
    if not 0 < value + first_rank < float("inf"):
        raise InputError(f"k: expected a number above {-first_rank} with first_rank={first_rank}, got {value}")
