"""Rank-biased centroids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned
from rankgrad.ops import RankFunction
from rankgrad.types import Ranking


def rank_biased_centroids(
    rankings: Sequence[Ranking],
    *,
    persistence: float | Tensor = 0.9,
    weights: Weights = None,
    ranker: RankFunction | None = None,
) -> Ranking:
    """How often a reader who goes on with probability p comes by: ``s(d) = sum_l w_l (1 - p) p^(r_l(d) - 1)``.

    Lists that do not hold d add nothing. A reader looks at ``1 / (1 - p)`` documents of a list on average: p towards 0
    counts first places, p towards 1 counts the lists that hold a document.

    Args:
        rankings: one a list, of the same queries.
        persistence: p, above 0 and below 1; a tensor takes a gradient.
        weights: of the lists; None = 1; a tensor takes a gradient.
        ranker: takes ranks from the scores; with a soft one the gradient reaches them. None = places in the lists.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for a persistence out of range, or weights or rankings that cannot be used.

    Reference:
        Bailey, Moffat, Scholer, Thomas: Retrieval consistency in the presence of query variations, SIGIR 2017.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> rank_biased_centroids([one, other], persistence=0.5).scores
        tensor([[0.7500, 0.5000, 0.2500]])
    """
    _check(persistence)
    return fuse(rankings, partial(_terms, persistence=persistence, weights=weights), ranker=ranker)


class RankBiasedCentroids(nn.Module):
    """:func:`rank_biased_centroids` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> RankBiasedCentroids(persistence=0.5)([one, one]).scores
        tensor([[1.]])
    """

    def __init__(
        self,
        *,
        persistence: float | Tensor = 0.9,
        weights: Weights = None,
        ranker: RankFunction | None = None,
    ) -> None:
        super().__init__()
        _check(persistence)
        self.persistence, self.weights, self.ranker = persistence, weights, ranker

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return _terms(aligned, persistence=self.persistence, weights=self.weights)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions, ranker=self.ranker)


def _terms(aligned: Aligned, *, persistence: float | Tensor, weights: Weights) -> Tensor:
    held = aligned.held
    persistence = persistence.to(held.device) if isinstance(persistence, Tensor) else persistence
    # Absent documents have rank 0, and so an exponent of 0.
    decayed = (1 - persistence) * persistence ** (aligned.ranks - held)
    return list_weights(weights, aligned) * decayed * held


def _check(persistence: float | Tensor) -> None:
    value = float(persistence.detach()) if isinstance(persistence, Tensor) else persistence
    if not 0 < value < 1:
        raise InputError(f"persistence: expected a number above 0 and below 1, got {value}")
