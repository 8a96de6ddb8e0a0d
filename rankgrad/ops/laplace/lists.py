"""Lists in descending order, as every pass over them needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad.ops._arguments import accumulate
from rankgrad.ops.pairwise_rank.reference import bound

# Differences over temperature are cut to these: what exponentials of larger ones would add is below any rounding, and
# numbers that small cost processors a hundred times the time.
_FARTHEST = {torch.float32: 80.0, torch.float64: 300.0}


class SortedLists(NamedTuple):
    """Lists in descending order, real items first; places after them repeat the lowest real value."""

    points: Tensor  # [..., n], finite
    real: Tensor | None  # [..., n]; None = all
    temperature: Tensor  # [..., 1]
    order: Tensor  # [..., n]

    def gaps(self) -> Tensor:
        """``(s_{i-1} - s_i) / temperature``, ``[..., n]``; infinite at the first item and at masked ones."""
        # Not by slices of n - 1, of which an exported graph would want to know that they are not 1.
        place = torch.arange(-1, self.points.shape[-1] - 1, device=self.points.device)
        gaps = (self.points.index_select(-1, place.clamp(min=0)) - self.points) / self.temperature
        gaps = gaps.clamp(max=_FARTHEST[gaps.dtype]).masked_fill(place < 0, float("inf"))
        return self.masked(gaps, float("inf"))

    def factors(self) -> Tensor:
        """``exp`` of minus the gaps."""
        return (-self.gaps()).exp()

    @property
    def places(self) -> Tensor:
        """``1, ..., n`` in the dtype of the points."""
        return torch.arange(1, self.points.shape[-1] + 1, device=self.points.device, dtype=self.points.dtype)

    def masked(self, x: Tensor, value: float = 0.0) -> Tensor:
        """``x`` in sorted order with ``value`` at the masked items."""
        return x if self.real is None else x.masked_fill(~self.real, value)

    def unsort(self, x: Tensor) -> Tensor:
        """``x`` in sorted order, brought back to the order that the lists came in."""
        return torch.empty_like(x).scatter_(-1, self.order, x)


class Scan(NamedTuple):
    """Running sums over the lists that it was made for, f being their factors.

    Attributes:
        neighbours: ``sum_j exp(-|s_i - s_j| / temperature)`` over the real items above each item, and over those below.
        sums: of terms a from above and terms b from below, ``up_i = f_i up_{i-1} + a_i`` and
            ``down_i = f_{i+1} down_{i+1} + b_i``.
    """

    neighbours: Callable[[], tuple[Tensor, Tensor]]
    sums: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def next_of(factors: Tensor) -> Tensor:
    """The factor between an item and the next one; 0 at the last."""
    return pad(factors[..., 1:], (0, 1))


def sorting_keys(values: Tensor, mask: Tensor | None) -> Tensor:
    """What sorts in descending order with masked items last; no NaN in it."""
    return _finite(values) if mask is None else _finite(values).masked_fill(~mask, float("-inf"))


def in_order(
    values: Tensor, mask: Tensor | None, temperature: Tensor, order: Tensor, dtype: torch.dtype
) -> SortedLists:
    """The lists ``[..., n]`` brought in ``order``; ``temperature [..., 1]``, n above 0."""
    points = _finite(values).gather(-1, order).to(dtype)
    temperature = temperature.to(dtype)
    real = None if mask is None else mask.gather(-1, order)
    if real is not None:
        last = real.sum(dim=-1, keepdim=True).sub(1).clamp(min=0)
        points = torch.where(real, points, points.gather(-1, last))
    return SortedLists(points, real, temperature, order)


def mark(result: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """NaN throughout lists in which a real item is NaN, then 0 at masked places."""
    unknown = values.isnan() if mask is None else values.isnan() & mask
    result = result.masked_fill(unknown.any(dim=-1, keepdim=True), float("nan"))
    return result if mask is None else result.masked_fill(~mask, 0.0)


def mark_gradient(gradient: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """A gradient of the values in their dtype: :func:`mark`, and 0 where they are infinite."""
    wide = accumulate(values, "values")
    gradient = mark(gradient, values, mask).masked_fill(wide.abs() > bound(wide.dtype), 0.0)
    return gradient.to(values.dtype)


def _finite(values: Tensor) -> Tensor:
    wide = accumulate(values, "values")
    limit = bound(wide.dtype)
    return wide.nan_to_num(nan=0.0).clamp(-limit, limit)
