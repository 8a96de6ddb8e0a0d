"""Lists made ready for a relaxed permutation: finite, sorted, and clean where masked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops import sorted_order

# Exponentials of less than minus this are 0.
NOTHING = {torch.float32: 128.0, torch.float64: 800.0}
# Beyond these the temperature or its inverse would leave float32; weights are long all 0 or 1, or all equal.
_LEAST, _MOST = 1e-37, 1e37


class Ordered(NamedTuple):
    """Lists in descending order, real items first, behind them items so low that no real one feels them."""

    values: Tensor  # [lists, n], finite
    order: Tensor  # [lists, n], among equals by place
    real: Tensor  # [lists, n] is this a place of a real item?
    unknown: Tensor  # [lists, 1] is one of the real items NaN?


def bounded_temperature(temperature: float) -> float:
    """The temperature, cut to what float32 can divide by.

    Example:
        >>> bounded_temperature(1e-300)
        1e-37
    """
    return min(max(temperature, _LEAST), _MOST)


def finite(x: Tensor, real: Tensor, temperature: float) -> Tensor:
    """Infinite real items put so far beyond the finite ones of their list that neither has a weight for the other.

    They take no gradient. NaN and masked items become 0.

    Example:
        >>> finite(torch.tensor([1.0, float("inf"), 2.0]), torch.tensor([True, True, True]), 0.25)
        tensor([ 1., 52.,  2.])
    """
    if not x.shape[-1]:
        return x
    # Differences of two, and their doubles, stay finite.
    bound = torch.finfo(x.dtype).max / 16
    detached = x.detach()
    known = real & (detached.abs() <= bound)
    highest = detached.masked_fill(~known, float("-inf")).amax(dim=-1, keepdim=True)
    lowest = detached.masked_fill(~known, float("inf")).amin(dim=-1, keepdim=True)
    some = highest >= lowest
    beyond = min(1.5625 * NOTHING[x.dtype] * temperature, bound)
    edges = torch.where(detached > 0, highest.where(some, 0.0) + beyond, lowest.where(some, 0.0) - beyond)
    edges = edges.where(real & (detached.abs() > bound), 0.0)
    return torch.where(known, x, edges)


def order(x: Tensor, real: Tensor, temperature: float, *, stable: bool = True, triton: bool = False) -> Ordered:
    """Sort the lists ``[..., n]``; differentiable.

    Example:
        >>> order(torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3, dtype=torch.bool), 0.1).values
        tensor([[3., 2., 1.]])
    """
    unknown = (x.isnan() & real).any(dim=-1, keepdim=True)
    keys = finite(x, real, temperature)
    if triton and sorted_order.kernels_run(keys, "triton"):
        values, order = sorted_order.sorted_lists(keys, real, backend="triton")
    else:
        keys = keys.masked_fill(~real, float("-inf"))
        options = {"stable": True} if stable else {}
        values, order = keys.sort(dim=-1, descending=True, **options)
    places = torch.arange(x.shape[-1], device=x.device) < real.sum(dim=-1, keepdim=True)
    # Lower than what stands for minus infinity.
    lowest = -0.75 * torch.finfo(x.dtype).max
    return Ordered(values.masked_fill(~places, lowest), order, places, unknown)
