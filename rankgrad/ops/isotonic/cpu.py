"""Isotonic regression on a CPU: scipy's compiled pooling where it is installed, else the merging of halves."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankgrad.ops.isotonic import tree

# exp of these, and sums of products of two of them, lie within float64.
_WIDEST = 300.0
# Lists this short are many for their numbers; a call a list costs more than the halves.
_SHORT = 16


def blocks(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool) -> Tensor:
    """First item and end of each item's block, ``[2, lists, items]`` int32."""
    lists, n = numerators.shape
    regression = _scipy_regression()
    if regression is None or n <= _SHORT or numerators.device.type != "cpu":
        return tree.blocks(numerators, weights, logarithmic=logarithmic)
    numerators, weights = numerators.double(), None if weights is None else weights.double()
    real = numerators != float("inf")
    if not logarithmic:
        values, scale = numerators if weights is None else numerators / weights, weights
    else:
        # The logarithm of a mean of exponentials rises with that mean, so the blocks are those of the exponentials.
        values, wide = _centred(numerators if weights is None else numerators - weights, real)
        scale, too_wide = (None, False) if weights is None else _centred(weights, real)
        if wide or too_wide:
            return tree.blocks(numerators, weights, logarithmic=True)
        values, scale = values.exp(), None if scale is None else scale.exp()
    lengths = real.sum(dim=-1).tolist() if lists and not real[:, -1].all() else [n] * lists
    rows = values.numpy()
    weight_rows = [None] * lists if scale is None else scale.numpy()
    # Offsets of the blocks over all lists, the end included; those who are nobody stand alone.
    offsets: list[Any] = [np.zeros(1, dtype=np.int32)]
    for row, (length, weight) in enumerate(zip(lengths, weight_rows, strict=True)):
        if length:
            found = regression(rows[row, :length], weights=None if weight is None else weight[:length])
            offsets.append((found.blocks[1:] + row * n).astype(np.int32))
        if length < n:
            offsets.append(np.arange(row * n + length + 1, (row + 1) * n + 1, dtype=np.int32))
    ends = np.concatenate(offsets)
    counts = np.diff(ends)
    result = np.stack([np.repeat(ends[:-1], counts), np.repeat(ends[1:], counts)]).reshape(2, lists, n)
    result -= np.arange(0, lists * n, n, dtype=np.int32)[:, None]
    return torch.from_numpy(result)


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


def order(x: Tensor) -> Tensor:
    """What sorts each list in descending order, among equals by place; ``x`` without NaN."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or not x.numel():
        return x.argsort(dim=-1, descending=True, stable=True)
    # One integer holds value and place, which numpy sorts faster than torch does pairs. Adding 0 makes -0 equal 0.
    bits = (x + 0.0).contiguous().numpy().view(np.int32)
    keys = (~(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))).astype(np.int64)
    keys <<= 32
    keys |= np.arange(x.shape[-1], dtype=np.int64)
    keys.sort(axis=-1)
    keys &= 0xFFFFFFFF
    return torch.from_numpy(keys)


def _centred(logarithms: Tensor, real: Tensor) -> tuple[Tensor, bool]:
    """Logarithms around 0, 0 where there is no item, and whether a list is too wide for their exponentials."""
    high = logarithms.masked_fill(~real, float("-inf")).amax(-1, keepdim=True)
    low = logarithms.masked_fill(~real, float("inf")).amin(-1, keepdim=True)
    centred = (logarithms - (high + low) / 2).masked_fill(~real, 0.0)
    return centred, bool((high - low > 2 * _WIDEST).any())


@cache
def _scipy_regression() -> Any:
    """scipy's function, None where it is not installed."""
    from importlib.util import find_spec

    if find_spec("scipy") is None:
        return None
    from scipy.optimize import isotonic_regression

    return isotonic_regression
