"""Exponents of relaxed permutations as functions of two places in a sorted list.

The largest weight of row i is at item i itself, so weights are ``exp(-D_ij)`` with ``D_ii = 0`` and need no online
maximum. ``docs/ops/relaxed_permutation.md`` derives

- NeuralSort: ``D_ij = (H_j - H_i) - 2 i (u_i - u_j)``, with places from 0, ``u`` the values over the temperature and
  ``H_j = sum_{l<j} (2 l + 1) (u_l - u_{l+1})``;
- SoftSort with power 2: ``D_ij = (u_i - u_j)^2``, ``u`` the values over the root of the temperature.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.relaxed_permutation.ordered import NOTHING

# Weights below exp of minus this, of 1 in the same row, are not looked at.
REACH = {torch.float32: 32.0, torch.float64: 64.0}


class Positions(NamedTuple):
    """Where the items of sorted lists stand, in float64."""

    values: Tensor  # [lists, n] u, the first at 0, descending
    heights: Tensor | None  # [lists, n] H; None for the square
    moments: Tensor  # [lists or 1, n] what moments are of: the values of a square, the places of NeuralSort

    def part(self, lists: slice) -> Positions:
        """Of some of the lists."""
        heights = None if self.heights is None else self.heights[lists]
        return Positions(self.values[lists], heights, self.moments[lists] if heights is None else self.moments)

    def distance(self, row: Tensor, column: Tensor) -> Tensor:
        """D between two places of each list, ``[lists, k]`` both."""
        apart = self.values.gather(1, row) - self.values.gather(1, column)
        if self.heights is None:
            return apart.square()
        return self.heights.gather(1, column) - self.heights.gather(1, row) - 2 * row * apart


def positions(ordered: Tensor, temperature: float, *, square: bool) -> Positions:
    """Positions of lists in descending order.

    A gap across which nothing has a weight is cut to one that just has none, so that everything stays finite.

    Example:
        >>> positions(torch.tensor([[3.0, 1.0, 0.0]]), 2.0, square=False).heights
        tensor([[0.0000, 1.0000, 2.5000]], dtype=torch.float64)
    """
    scale, nothing = temperature, NOTHING[ordered.dtype]
    if square:
        scale, nothing = math.sqrt(temperature), math.sqrt(nothing)
    wide = ordered.double()
    gaps = (wide[:, :-1] - wide[:, 1:]).div_(scale).clamp_(max=nothing)
    fallen = torch.nn.functional.pad(gaps.cumsum(dim=1), (1, 0))
    if square:
        return Positions(-fallen, None, -fallen)
    places = torch.arange(ordered.shape[1], device=gaps.device, dtype=gaps.dtype).unsqueeze(0)
    heights = gaps.mul_(2 * places[:, :-1] + 1).cumsum(dim=1)
    return Positions(-fallen, torch.nn.functional.pad(heights, (1, 0)), places)


def bands(lists: Positions, block: int, reach: float) -> tuple[list[int], list[int]]:
    """For each block of rows the first column, and the end of the columns, that a row of it looks at in some list.

    Rows farther down reach farther down, so that the block's first and last row decide.

    Example:
        >>> bands(positions(torch.arange(6.0, 0.0, -1.0)[None], 0.5, square=True), 2, 5.0)
        ([0, 1, 3], [3, 5, 6])
    """
    count, n = lists.values.shape
    first = torch.arange(0, n, block, device=lists.values.device).expand(count, -1)
    last = (first + block - 1).clamp(max=n - 1)
    start, start_end = torch.zeros_like(first), first
    end, end_end = last + 1, torch.full_like(last, n)
    for _ in range(n.bit_length()):
        middle = (start + start_end) // 2
        near = lists.distance(first, middle) <= reach
        start, start_end = torch.where(near, start, middle + 1).minimum(first), torch.where(near, middle, start_end)
        middle = ((end + end_end) // 2).clamp(max=n - 1)
        near = (lists.distance(last, middle) <= reach) & (end < end_end)
        end, end_end = torch.where(near, middle + 1, end), torch.where(near | (end >= end_end), end_end, middle)
    return start.amin(dim=0).tolist(), end.amax(dim=0).tolist()
