"""A list as points that are transported to places."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops import sorted_order
from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops._order import stable_order

# Beyond these the temperature or its inverse would leave float32; differences are long all saturated, or all zero.
_LEAST, _MOST = 1e-37, 1e37
# Neighbours this many temperatures apart share less than the dtype's smallest number, so farther is the same.
_FARTHEST = {torch.float32: 128.0, torch.float64: 768.0}


class Problem(NamedTuple):
    """Lists in descending order, real items first; potentials and points in float64, in which the cost cancels."""

    points: Tensor  # [..., n] the values in temperatures, the highest at 0, no gap wider than the farthest
    places: Tensor  # [..., n] m + 1 - 2 k for place k
    columns: Tensor  # [..., n] the potentials of the items to start from, at their own places; -inf where no item is
    real: Tensor  # [..., n] the first m
    order: Tensor  # [..., n] where each came from
    unknown: Tensor  # [..., 1] a real item is NaN


def transport_problem(x: Tensor, mask: Tensor | None, temperature: float, *, triton: bool = False) -> Problem:
    """Sort, measure in temperatures and start from the hard order's potentials, ``-sum_j |x_i - x_j|``."""
    temperature = min(max(temperature, _LEAST), _MOST)
    mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
    unknown = (x.isnan() & mask).any(dim=-1, keepdim=True)
    keys = bound(x.masked_fill(unknown | ~mask, 0.0))
    bounded = keys.to(wide_dtype(x))
    # A stable order, so that equal items stay as they stood and results repeat.
    if triton and sorted_order.kernels_run(keys, "triton"):
        order = sorted_order.order(keys, mask, backend="triton")
    else:
        order = stable_order(keys.detach().masked_fill(~mask, float("-inf")), descending=True)
    real, ordered = mask.gather(-1, order), bounded.gather(-1, order)
    farthest = _FARTHEST[accumulation_dtype(x=x)]
    indices = torch.arange(x.shape[-1], device=x.device)
    above = ordered.gather(-1, (indices - 1).clamp(min=0).expand_as(ordered))
    gaps = ((above - ordered) / temperature).clamp(max=farthest).masked_fill(~real, 0.0)
    points = -gaps.cumsum(dim=-1)
    count = real.sum(dim=-1, keepdim=True)
    places = count - 1 - 2 * indices
    places = places.to(points)
    columns = places * points - _distances(points, real, count)
    return Problem(points, places, columns.masked_fill(~real, float("-inf")), real, order, unknown)


def bound(x: Tensor) -> Tensor:
    """In the accumulation dtype, cut so that differences of two values stay finite; what is cut takes no gradient."""
    dtype = accumulation_dtype(x=x)
    limit = torch.finfo(dtype).max / 4
    return x.to(dtype).clamp(-limit, limit)


def wide_dtype(x: Tensor) -> torch.dtype:
    """What potentials are held in: float64 where the device has it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _distances(points: Tensor, real: Tensor, count: Tensor) -> Tensor:
    """``sum_j |point_i - point_j|`` by running sums; equal items add nothing, also to each other's gradient."""
    rising = -points.detach().contiguous()
    first, end = _equals(rising)
    end = end.minimum(count)
    sums = points.masked_fill(~real, 0.0).cumsum(dim=-1)
    sums = torch.cat([torch.zeros_like(sums[..., :1]), sums], dim=-1)
    above, through = sums.gather(-1, first), sums.gather(-1, end)
    return points * (count - end - first) + above + through - sums[..., -1:]


def _equals(rising: Tensor) -> tuple[Tensor, Tensor]:
    """The first place and the end of the items that equal each one."""
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        # ONNX has no search; the matrix that is exported is as large.
        others, own = rising.unsqueeze(-2), rising.unsqueeze(-1)
        return (others < own).sum(dim=-1), (others <= own).sum(dim=-1)
    return torch.searchsorted(rising, rising), torch.searchsorted(rising, rising, right=True)
