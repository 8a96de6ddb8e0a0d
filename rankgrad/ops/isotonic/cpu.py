"""Isotonic regression on a CPU: scipy's compiled pooling where it is installed, else the merging of halves."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankgrad.ops.isotonic import pooling, tree


def blocks(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool) -> Tensor:
    """First item and end of each item's block, ``[2, lists, items]`` int32."""
    if numerators.device.type != "cpu" or not numerators.numel():
        return tree.blocks(numerators, weights, logarithmic=logarithmic)
    levels = numerators.double()
    if weights is not None:
        weights = weights.double()
        levels = levels - weights if logarithmic else levels / weights
    values = levels.numpy()
    present = values != np.inf
    starts = np.flatnonzero(
        block_starts(
            values,
            None if weights is None else weights.numpy(),
            None if present.all() else present,
            logarithmic=logarithmic,
        )
    ).astype(np.int32)
    lists, n = values.shape
    lengths = pooling.lengths_of(starts, lists * n)
    ends = starts + lengths
    result = np.stack([np.repeat(starts, lengths), np.repeat(ends, lengths)]).reshape(2, lists, n)
    result -= np.arange(0, lists * n, n, dtype=np.int32)[:, None]
    return torch.from_numpy(result)


def block_starts(levels: Any, weights: Any, present: Any, *, logarithmic: bool) -> Any:
    """Where blocks begin; see :func:`pooling.block_starts`."""
    found = pooling.block_starts(levels, weights, present, logarithmic=logarithmic, regression=_scipy_regression())
    if found is not None:
        return found
    numerators = torch.from_numpy(levels)
    scale = None if weights is None else torch.from_numpy(np.array(weights))
    if scale is not None:
        numerators = numerators + scale if logarithmic else numerators * scale
    first = tree.blocks(numerators, scale, logarithmic=logarithmic)[0].numpy()
    return first == np.arange(first.shape[-1])


def block_sum(x: Tensor, blocks: Tensor) -> Tensor:
    """At every item the sum of ``x`` over its block, added in float64 on a CPU."""
    if x.device.type == "cpu":
        if not x.numel():
            return torch.empty_like(x)
        first, end = blocks.numpy()
        n = x.shape[-1]
        starts = np.flatnonzero(first == np.arange(n, dtype=np.int32))
        sums = np.add.reduceat(x.contiguous().numpy().reshape(-1), starts, dtype=np.float64).astype(x.numpy().dtype)
        lengths = (end - first).reshape(-1)[starts]
        return torch.from_numpy(np.repeat(sums, lengths).reshape(x.shape))
    first, end = blocks.long()
    lengths = torch.where(first == torch.arange(x.shape[-1], device=x.device), end - first, 0)
    sums = torch.segment_reduce(x.contiguous(), "sum", lengths=lengths, axis=1, unsafe=True)
    return sums.gather(-1, first)


def sort(x: Any, *, descending: bool) -> tuple[Any, Any]:
    """Each list in order, among equals by place, as float64, and where in all items each was; ``x`` without NaN."""
    lists, n = x.shape
    if x.dtype != np.float32 or x.size > 1 << 32:
        places = torch.from_numpy(x).argsort(dim=-1, descending=descending, stable=True).numpy()
        places += np.arange(0, lists * n, n)[:, None]
        return x.ravel().take(places).astype(np.float64), places
    # One integer holds value and place, which numpy sorts faster than pairs. Adding 0 makes -0 equal 0.
    zero = np.float32(0)
    packed = _flip_negative((zero - x if descending else zero + x).view(np.int32)).astype(np.int64)
    packed <<= 32
    packed |= np.arange(lists * n).reshape(lists, n)
    packed.sort(axis=-1)
    bits = _flip_negative((packed >> 32).astype(np.int32))
    packed &= 0xFFFFFFFF
    return np.multiply(bits.view(np.float32), -1.0 if descending else 1.0, dtype=np.float64), packed


def _flip_negative(bits: Any) -> Any:
    """The bits of float32, in place, such that integers rise as the numbers do; and back again."""
    sign = bits >> 31
    sign &= np.int32(0x7FFFFFFF)
    bits ^= sign
    return bits


@cache
def _scipy_regression() -> Any:
    """scipy's function, None where it is not installed."""
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        return None
    from scipy.optimize import isotonic_regression

    return isotonic_regression
