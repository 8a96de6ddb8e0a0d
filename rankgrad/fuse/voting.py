"""Lists as voters: Borda's points and the median rank."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned, as_numbers
from rankgrad.types import Ranking

# Up to so many lists, values are compared pair by pair in place of sorting them.
_COMPARED = 16


def borda_fusion(rankings: Sequence[Ranking], *, weights: Weights = None) -> Ranking:
    """Borda's count: of n candidates a list gives its document of rank r ``n - r + 1`` points.

    The candidates are the documents of all lists. Those that a list of length m does not hold share the points it has
    left, ``(n - m + 1) / 2`` each.

    Args:
        rankings: one a list, of the same queries.
        weights: of the lists; None = 1; a tensor takes a gradient. Scores take none.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for weights or rankings that cannot be used.

    Reference:
        Aslam, Montague: Models for metasearch, SIGIR 2001.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> fused = borda_fusion([one, other])
        >>> fused.ids, fused.scores
        (tensor([[3, 7, 5]]), tensor([[5., 4., 3.]]))
    """
    return fuse(rankings, partial(_borda, weights=weights))


class BordaFusion(nn.Module):
    """:func:`borda_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> BordaFusion()([one, one]).scores
        tensor([[2.]])
    """

    def __init__(self, *, weights: Weights = None) -> None:
        super().__init__()
        self.weights = weights

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return _borda(aligned, weights=self.weights)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions)


def median_rank_fusion(rankings: Sequence[Ranking]) -> Ranking:
    """Minus the median of a document's ranks; to a list of length m that does not hold it, its rank is ``m + 1``.

    The median of an even number of lists is the mean of the middle two.

    Args:
        rankings: one a list, of the same queries.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for rankings that cannot be used.

    Reference:
        Fagin, Kumar, Sivakumar: Efficient similarity search and classification via rank aggregation, SIGMOD 2003.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> median_rank_fusion([one, other]).scores
        tensor([[-1.5000, -2.0000, -2.5000]])
    """
    return fuse(rankings, _median_rank)


class MedianRankFusion(nn.Module):
    """:func:`median_rank_fusion` as a module.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> MedianRankFusion()([one, one]).scores
        tensor([[-1.]])
    """

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document: half of minus the middle ranks, ``[queries, lists, documents]``."""
        return _median_rank(aligned)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions)


def middle_ones(values: Tensor, held: Tensor) -> Tensor:
    """The median over lists as its parts: half of each of the two middle values, in the places they come from.

    Args:
        values: finite.
        held: 1 for a list that counts, else 0.

    Shape:
        values, held ``[queries, lists, documents]`` -> the same.

    Example:
        >>> import torch
        >>> middle_ones(torch.tensor([[[5.0], [1.0], [3.0]]]), torch.ones(1, 3, 1)).flatten()
        tensor([0., 0., 3.])
    """
    places = _places(beyond_others(values.detach(), held))
    count = held.sum(dim=1, keepdim=True)
    low, high = ((count - 1).clamp(min=0) / 2).floor(), (count / 2).floor()
    shares = sum(as_numbers(places == place, values.dtype) for place in (low, high)) / 2
    return values * (shares * held)


def beyond_others(values: Tensor, held: Tensor) -> Tensor:
    """The values of lists that do not count made greater than all others."""
    if not values.numel():
        return values
    largest = values.abs().amax() * 3 + 1
    return values + (1 - held) * largest.clamp(max=torch.finfo(values.dtype).max)


def _places(values: Tensor) -> Tensor:
    """Each list's place, from 0, when the lists of a document are sorted by value, among equals by list."""
    lists = values.shape[1]
    if lists > _COMPARED:
        order = values.argsort(dim=1, stable=True)
        along = torch.arange(lists, dtype=values.dtype, device=values.device).view(1, -1, 1)
        return torch.empty_like(values).scatter_(1, order, along.expand_as(values).contiguous())
    places = [values.new_zeros(values[:, 0].shape) for _ in range(lists)]
    for one in range(lists):
        for other in range(one + 1, lists):
            before = as_numbers(values[:, one] <= values[:, other], values.dtype)
            places[other] += before
            places[one] += 1 - before
    return torch.stack(places, dim=1)


def _borda(aligned: Aligned, *, weights: Weights) -> Tensor:
    real, held = as_numbers(aligned.mask, aligned.ranks.dtype), aligned.held
    candidates = real.sum(dim=1)[:, None, None]
    left = (candidates - held.sum(dim=2, keepdim=True) + 1) / 2
    points = (candidates - aligned.ranks + 1) * held + left * (1 - held)
    return list_weights(weights, aligned) * points * real.unsqueeze(1)


def _median_rank(aligned: Aligned) -> Tensor:
    held = aligned.held
    beyond = held.sum(dim=2, keepdim=True) + 1
    every = as_numbers(aligned.mask, held.dtype).unsqueeze(1).expand_as(held)
    return -middle_ones(aligned.ranks + beyond * (1 - held), every)
