"""Where a sum of Laplace distribution functions reaches a given count: a quadratic equation between two items."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.laplace.lists import SortedLists

# From this factor between two items on, a threshold that both push away equally lies far from either.
_FAR = 1e-17


class Solution(NamedTuple):
    """Thresholds ``[..., m]`` at ``anchor + temperature offset``; kept apart, they lose no digits."""

    anchor: Tensor
    offset: Tensor
    above: Tensor  # by how much a threshold moves with the lowest item above it
    below: Tensor  # by how much with the highest item below it
    root: Tensor  # half the sum of exp(-|x - threshold| / temperature)
    place: Tensor  # int64, how many items lie above
    inside: Tensor  # bool, 0 < count < real items
    counts: Tensor

    def value(self, temperature: Tensor) -> Tensor:
        """The thresholds: infinite for counts that none reaches."""
        beyond = torch.where(self.counts > 0, float("-inf"), float("inf")).to(self.anchor.dtype)
        return torch.where(self.inside, self.anchor + temperature * self.offset, beyond)

    def distances(self, x: Tensor, temperature: Tensor) -> Tensor:
        """``(x - threshold) / temperature`` for ``x [..., n]`` and one threshold a list."""
        beyond = torch.where(self.counts > 0, float("inf"), float("-inf")).to(self.anchor.dtype)
        return torch.where(self.inside, (x - self.anchor) / temperature - self.offset, beyond)


def knots(lists: SortedLists, up: Tensor, down: Tensor) -> Tensor:
    """The count that each item would be the threshold of, rising; infinite at masked items."""
    return lists.masked((down - up) / 2 + (lists.places - 0.5), float("inf"))


def solve(lists: SortedLists, factors: Tensor, up: Tensor, down: Tensor, counts: Tensor, place: Tensor) -> Solution:
    """The thresholds b with ``sum_i F((s_i - b) / temperature) = count``.

    With c the count less the number of items above, P and Q the sums of ``exp(-distance / temperature)`` to the items
    above and below, each from the item next to the threshold, itself included, and E that factor between these two,
    ``P exp(-u) = root - c`` and ``Q exp(-v) = root + c``, with ``root = sqrt(c^2 + P Q E)`` and u and v the distances
    from the threshold up and down to them, over the temperature. Of both the one is taken whose right side is a sum.

    Args:
        lists: n above 0.
        factors: of the lists.
        up, down: the sums of their neighbours, ``[..., n]``.
        counts: ``[..., m]``.
        place: how many of :func:`knots` are at most the count, ``[..., m]``.
    """
    n = lists.points.shape[-1]
    total = n if lists.real is None else lists.real.sum(dim=-1, keepdim=True)
    inside = (counts > 0) & (counts < total)
    upper, lower = (place - 1).clamp(min=0), place.clamp(max=n - 1)
    high, low = lists.points.gather(-1, upper), lists.points.gather(-1, lower)
    of_upper, of_lower = up.gather(-1, upper) + 1, down.gather(-1, lower) + 1
    between = factors.gather(-1, lower).masked_fill(place >= total, 0.0)
    product = of_upper * of_lower * between
    excess = counts - place.to(counts.dtype)
    root = (excess.square() + product).sqrt()
    larger = root + excess.abs()
    # Without a distance to split, and nothing that reaches across, both sides have the same share.
    even = larger == 0
    smaller = torch.where(even, 1.0, product / larger)
    larger = larger.masked_fill(even, 1.0)
    from_lower = excess > 0
    far = (excess == 0) & (between < _FAR)
    anchor = torch.where(far, high - (high - low) / 2, torch.where(from_lower, low, high))
    offset = torch.where(from_lower, (of_lower / larger).log(), (larger / of_upper).log())
    offset = torch.where(far, (of_lower.log() - of_upper.log()) / 2, offset)
    above = torch.where(from_lower, smaller, larger) / (smaller + larger) / of_upper
    below = torch.where(from_lower, larger, smaller) / (smaller + larger) / of_lower
    return Solution(anchor, offset, above, below, root, place, inside, counts)
