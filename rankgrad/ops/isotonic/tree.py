"""Blocks of an isotonic regression by merging halves, in plain torch, without a wait for the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sums(NamedTuple):
    """Numerators and weights of a run of items, or their logarithms."""

    numerators: Tensor
    weights: Tensor

    def at(self, places: Tensor) -> Sums:
        return Sums(*(each.gather(-1, places) for each in self))

    def plus(self, other: Sums, *, logarithmic: bool) -> Sums:
        add = torch.logaddexp if logarithmic else torch.add
        return Sums(*(add(mine, theirs) for mine, theirs in zip(self, other, strict=True)))

    def mean(self, *, logarithmic: bool) -> Tensor:
        return self.numerators - self.weights if logarithmic else self.numerators / self.weights


def blocks(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool) -> Tensor:
    """First item and end of each item's block, ``[2, lists, items]`` int32.

    Two neighbouring halves that already rise are merged by pooling one run around the middle: the items of the left
    half at or above its mean and those of the right half at or below it. Whether an item belongs to the run is decided
    by the mean of what lies between it and its equals on the other side, for all items at once; a list of n takes
    ``log2 n`` such steps of O(n log n). Sums grow outwards from the middle, so nothing is subtracted.

    Args:
        numerators: weights times values; ``inf`` at the end of a list where it has no items.
        weights: positive weights; None = 1 each.
        logarithmic: both are logarithms.
    """
    lists, n = numerators.shape
    size = 1 << max(n - 1, 0).bit_length()
    if weights is None:
        weights = torch.full_like(numerators, 0.0 if logarithmic else 1.0)
    padded = Sums(
        torch.nn.functional.pad(numerators, (0, size - n), value=float("inf")),
        torch.nn.functional.pad(weights, (0, size - n), value=0.0 if logarithmic else 1.0),
    )
    place = torch.arange(size, device=numerators.device).expand(lists, size)
    first, end = place, place + 1
    value, to_end, from_start = padded.mean(logarithmic=logarithmic), padded, padded
    half = 1
    while half < size:
        right = (place & half) != 0
        middle = (place & -2 * half) + half
        opposite = _opposite(value, half)
        left_edge = torch.where(right, middle - opposite, first)
        right_edge = torch.where(right, end - 1, middle + opposite - 1)
        between = to_end.at(left_edge.clamp(max=size - 1)).plus(from_start.at(right_edge), logarithmic=logarithmic)
        mean = between.mean(logarithmic=logarithmic)
        # Items that touch the middle are pooled by definition; rounding shall not say otherwise.
        touches = torch.where(right, first == middle, end == middle)
        joins = (opposite > 0) & (touches | torch.where(right, mean >= value, mean <= value))
        start = torch.where(joins, place, middle).unflatten(-1, (-1, 2 * half)).amin(-1, keepdim=True)
        stop = torch.where(joins, place + 1, middle).unflatten(-1, (-1, 2 * half)).amax(-1, keepdim=True)
        start, stop = (each.expand(-1, -1, 2 * half).flatten(-2) for each in (start, stop))
        pooled = (place >= start) & (place < stop)
        inner = to_end.at(start.clamp(max=size - 1)).plus(from_start.at(stop - 1), logarithmic=logarithmic)
        value = torch.where(pooled, inner.mean(logarithmic=logarithmic), value)
        first, end = torch.where(pooled, start, first), torch.where(pooled, stop, end)
        longer = to_end.plus(to_end.at(middle), logarithmic=logarithmic)
        to_end = Sums(*(torch.where(right, old, new) for old, new in zip(to_end, longer, strict=True)))
        longer = from_start.plus(from_start.at(middle - 1), logarithmic=logarithmic)
        from_start = Sums(*(torch.where(right, new, old) for old, new in zip(from_start, longer, strict=True)))
        half *= 2
    nobody = padded.numerators == float("inf")
    first, end = torch.where(nobody, place, first), torch.where(nobody, place + 1, end)
    return torch.stack([first[:, :n], end[:, :n]]).int()


def _opposite(value: Tensor, half: int) -> Tensor:
    """How many items of the other half an item would be pooled with: those at most, or at least, its value."""
    left, right = (each.contiguous() for each in value.unflatten(-1, (-1, 2, half)).unbind(-2))
    of_left = torch.searchsorted(right, left, right=True)
    of_right = half - torch.searchsorted(left, right)
    return torch.stack([of_left, of_right], dim=-2).flatten(-3)
