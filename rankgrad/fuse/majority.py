"""Majorities of lists between two documents: Condorcet's wins, and Copeland's wins less losses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned
from rankgrad.types import Ranking


def condorcet_fusion(rankings: Sequence[Ranking], *, weights: Weights = None) -> Ranking:
    """How many documents a majority of lists ranks below this one.

    A list votes for the document that it ranks higher; one that it holds beats one that it does not, and between two
    that it does not hold it does not vote. d beats e with more votes than e. A document that beats all others comes
    first. Where majorities go round in a circle, ordering by a comparison of two (condorcet-fuse) gives what depends on
    where it began; counting wins does not.

    O(documents^2 lists) a query. No gradient.

    Args:
        rankings: one a list, of the same queries.
        weights: votes of a list; None = 1.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for weights or rankings that cannot be used.

    Reference:
        Montague, Aslam: Condorcet fusion for improved retrieval, CIKM 2002.

    Example:
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> fused = condorcet_fusion([one, other])
        >>> fused.ids, fused.scores
        (tensor([[3, 5, 7]]), tensor([[1., 0., 0.]]))
    """
    return fuse(rankings, partial(_totals, weights=weights, losses=False))


class CondorcetFusion(nn.Module):
    """:func:`condorcet_fusion` with its options held.

    Example:
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> CondorcetFusion()([one, one]).scores
        tensor([[1., 0.]])
    """

    def __init__(self, *, weights: Weights = None) -> None:
        super().__init__()
        self.weights = weights

    def contributions(self, aligned: Aligned) -> Tensor:
        """Each win shared among the lists that voted for it, ``[queries, lists, documents]``."""
        return _shares(aligned, weights=self.weights, losses=False)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return condorcet_fusion(rankings, weights=self.weights)


def copeland_fusion(rankings: Sequence[Ranking], *, weights: Weights = None) -> Ranking:
    """Documents that a majority of lists ranks below this one, less those that it ranks above.

    Votes are counted as by :func:`condorcet_fusion`. O(documents^2 lists) a query. No gradient.

    Args:
        rankings: one a list, of the same queries.
        weights: votes of a list; None = 1.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for weights or rankings that cannot be used.

    Reference:
        Copeland: A reasonable social welfare function, University of Michigan, 1951.

    Example:
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> fused = copeland_fusion([one, other])
        >>> fused.ids, fused.scores
        (tensor([[3, 7, 5]]), tensor([[ 1.,  0., -1.]]))
    """
    return fuse(rankings, partial(_totals, weights=weights, losses=True))


class CopelandFusion(nn.Module):
    """:func:`copeland_fusion` with its options held.

    Example:
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> CopelandFusion()([one, one]).scores
        tensor([[ 1., -1.]])
    """

    def __init__(self, *, weights: Weights = None) -> None:
        super().__init__()
        self.weights = weights

    def contributions(self, aligned: Aligned) -> Tensor:
        """Each win and loss shared among the lists that voted for it, ``[queries, lists, documents]``."""
        return _shares(aligned, weights=self.weights, losses=True)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return copeland_fusion(rankings, weights=self.weights)


def _places(aligned: Aligned) -> Tensor:
    """Ranks to compare; a document that a list does not hold stands behind all that it holds."""
    behind = aligned.ranks.shape[2] + 1
    return aligned.ranks.detach().masked_fill(~aligned.present, behind).round().int()


def _totals(aligned: Aligned, *, weights: Weights, losses: bool) -> Tensor:
    """Scores, ``[queries, 1, documents]``. One query at a time: its pairs are a table."""
    factors = list_weights(weights, aligned).detach()
    found = aligned.ranks.new_zeros(len(aligned.ids), 1, aligned.ids.shape[1])
    # Documents are real up to the first masked one, so a query's pairs are of those alone.
    for query, (places, real) in enumerate(zip(_places(aligned), aligned.mask.sum(dim=1).tolist(), strict=True)):
        votes = _votes(places[:, :real], None if weights is None else factors)
        won = _won(votes)
        found[query, 0, :real] = won.sum(dim=1) - (won.sum(dim=0) if losses else 0)
    return found


def _votes(places: Tensor, weights: Tensor | None) -> Tensor:
    """``votes[i, j]``: of lists that rank document i before j."""
    lists, documents = places.shape
    kind = torch.uint8 if weights is None and lists < 256 else torch.float32 if weights is None else weights.dtype
    votes = places.new_zeros(documents, documents, dtype=kind)
    for place, row in enumerate(places):
        before = row[:, None] < row[None, :]
        votes += before if weights is None else before * weights[place]
    return votes


def _won(votes: Tensor) -> Tensor:
    """``won[i, j]``: document i has more votes than j; sums of weights that differ by rounding alone are equal."""
    if not votes.is_floating_point():
        return votes > votes.T
    return votes - votes.T > 1e-6 * (votes + votes.T)


def _shares(aligned: Aligned, *, weights: Weights, losses: bool) -> Tensor:
    factors = list_weights(weights, aligned).detach()
    found = aligned.ranks.new_zeros(aligned.ranks.shape)
    for query, places in enumerate(_places(aligned)):
        votes = _votes(places, factors)
        together = aligned.mask[query, :, None] & aligned.mask[query, None, :]
        # A pair's share of one vote, where the pair is won.
        share = (1 / votes.masked_fill(votes == 0, 1.0)).where(_won(votes) & together, 0.0)
        for place, row in enumerate(places):
            credit = (row[:, None] < row[None, :]) * share * factors[place]
            found[query, place] = credit.sum(dim=1) - (credit.sum(dim=0) if losses else 0)
    return found
