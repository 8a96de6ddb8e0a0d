"""Sigmoid ranks on a CPU: lists are sorted, a pair is looked at once, and no exponential is taken of a pair.

``docs/ops/soft_rank.md`` derives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate, full_precision
from rankgrad.ops._order import stable_order
from rankgrad.ops.pairwise_rank import interpolated, reference
from rankgrad.ops.pairwise_rank.reference import bound

_BLOCK, _BLOCK_OF_FEW, _FEW = 64, 256, 4
_TILE_ELEMENTS = 1 << 19
# So few pairs are done before lists would be sorted.
_FEW_PAIRS = 1 << 15
# (differences over temperature from which a sigmoid is 0 or 1, what exponents are cut to so that squares stay normal)
_LIMITS = {torch.float32: (24.0, 40.0), torch.float64: (44.0, 80.0)}


class _Sorted(NamedTuple):
    """Lists in descending order, real items first, filled up to whole blocks."""

    values: Tensor  # [lists, padded], finite
    real: Tensor  # [lists, padded] 1 = a real item, else 0
    order: Tensor  # [lists, n]
    block: int


class _Strip(NamedTuple):
    """A block of each of some lists, ``near``, against a stretch of lower items, ``far``."""

    lists: slice
    near: slice
    far: slice
    near_factor: Tensor  # [lists, near] exp((x - c) / temperature), c the lowest value of the block
    far_factor: Tensor  # [lists, far], 0 where masked
    inverse: Tensor  # [lists, near, far] 1 / (near_factor + far_factor)


def forward(values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """Ranks ``[lists, n]``, 0 where masked."""
    wide = accumulate(values, "values")
    if not wide.numel():
        return torch.empty_like(wide, memory_format=torch.contiguous_format)
    if wide.numel() * wide.shape[1] <= _FEW_PAIRS:
        return reference.ranks(wide, mask, temperature)
    smooth = interpolated.choose(wide, mask, temperature)
    if smooth is not None:
        with full_precision(values.device):
            return _finish(interpolated.forward(smooth).to(wide.dtype), wide, mask)
    lists = _sort(wide, mask)
    ranks = torch.empty_like(lists.values)
    with full_precision(values.device):
        for some in _chunks(lists):
            values, real = (whole.view(-1, lists.block)[some] for whole in (lists.values, lists.real))
            ranks.view(-1, lists.block)[some] = _above_in_block(values, real, temperature)
        # Whoever stands in an earlier block counts as wholly above, and corrections follow.
        places = torch.arange(ranks.shape[1], device=ranks.device)
        ranks += places // lists.block * lists.block + 0.5
        for strip in _strips(lists, temperature):
            # far / (near + far): how far a lower item is above a higher one.
            ranks[strip.lists, strip.near] += _across(strip.far_factor.unsqueeze(1), strip.inverse).squeeze(1)
            ones = torch.ones_like(strip.near_factor).unsqueeze(1)
            ranks[strip.lists, strip.far] -= strip.far_factor * torch.bmm(ones, strip.inverse).squeeze(1)
    return _finish(_unsort(ranks, lists), wide, mask)


def backward(values: Tensor, mask: Tensor | None, temperature: float, gradients: Tensor) -> Tensor:
    """The gradient of the values, in their dtype."""
    if not values.numel():
        return torch.empty_like(values, memory_format=torch.contiguous_format)
    wide, dtype = accumulate(values, "values"), values.dtype
    if wide.numel() * wide.shape[1] <= _FEW_PAIRS:
        return _finished_gradient(_pulls_of_few(wide, mask, temperature, gradients), wide, mask, temperature).to(dtype)
    smooth = interpolated.choose(wide, mask, temperature)
    if smooth is not None:
        given = gradients.double() if mask is None else gradients.double().masked_fill(~mask, 0.0)
        with full_precision(values.device):
            pulls = interpolated.backward(smooth, given)
        return _finished_gradient(pulls, wide, mask, temperature).to(dtype)
    lists = _sort(wide, mask)
    upstream = torch.zeros_like(lists.values)
    upstream[:, : values.shape[1]] = gradients.gather(1, lists.order)
    # A masked item has no rank, whatever its gradient holds.
    upstream = upstream.where(lists.real > 0, 0.0)
    result = torch.empty_like(lists.values)
    with full_precision(values.device):
        for some in _chunks(lists):
            values, real, own = (whole.view(-1, lists.block)[some] for whole in (lists.values, lists.real, upstream))
            result.view(-1, lists.block)[some] = _pulls_in_block(values, real, temperature, own)
        for strip in _strips(lists, temperature):
            square = strip.inverse.mul_(strip.inverse)
            near, far = upstream[strip.lists, strip.near], upstream[strip.lists, strip.far]
            near_weights = torch.stack([strip.near_factor * near, strip.near_factor], dim=1)
            far_weights = torch.stack([strip.far_factor * far, strip.far_factor], dim=1)
            sums = _across(far_weights, square)
            result[strip.lists, strip.near] += strip.near_factor * (sums[:, 0] - near * sums[:, 1])
            sums = torch.bmm(near_weights, square)
            result[strip.lists, strip.far] += strip.far_factor * (sums[:, 0] - far * sums[:, 1])
    return _finished_gradient(_unsort(result, lists), wide, mask, temperature).to(dtype)


def _pulls_of_few(values: Tensor, mask: Tensor | None, temperature: float, upstream: Tensor) -> Tensor:
    """``sum_j slope_ij (upstream_j - upstream_i)`` over the real items of a list, ``[lists, n]``."""
    limit = bound(values.dtype)
    keys = values.nan_to_num(nan=0.0).clamp_(-limit, limit)
    if mask is not None:
        keys, upstream = keys.masked_fill_(~mask, 0.0), upstream.masked_fill(~mask, 0.0)
    # Of both sigmoids of a pair the smaller one: 1 - sigmoid of the larger would lose its digits.
    share = (keys.unsqueeze(1) - keys.unsqueeze(2)).abs_().div_(-temperature).sigmoid_()
    pulls = share.addcmul_(share, share, value=-1).mul_(upstream.unsqueeze(1) - upstream.unsqueeze(2))
    return (pulls if mask is None else pulls.masked_fill_(~mask.unsqueeze(1), 0.0)).sum(dim=2)


def _sort(values: Tensor, mask: Tensor | None) -> _Sorted:
    count, n = values.shape
    block = _block(count, n)
    blocks = -(-n // block)
    limit = bound(values.dtype)
    # What is masked sorts below every bounded value. A list with a NaN is marked at the end.
    keys = values.nan_to_num(nan=0.0).clamp_(-limit, limit)
    if mask is not None:
        keys.masked_fill_(~mask, float("-inf"))
    order = stable_order(keys, descending=True)
    ordered = keys.gather(1, order)
    real = torch.zeros((count, blocks * block), dtype=values.dtype, device=values.device)
    real[:, :n] = ordered.isfinite()
    # Places without an item repeat the lowest one, so that they do not make a block wide.
    last = real.sum(dim=1, keepdim=True).long().sub_(1).clamp_(min=0)
    lowest = ordered.gather(1, last).clamp_(min=-limit)
    filled = lowest.expand_as(real).contiguous()
    filled[:, :n] = torch.maximum(ordered, lowest)
    return _Sorted(filled, real, order, block)


def _block(count: int, n: int) -> int:
    """Items of a block. Of few or short lists a strip is little work for the calls it takes, so there are fewer."""
    if count * n * n <= 2 * _TILE_ELEMENTS:
        return n
    blocks = -(-n // (_BLOCK_OF_FEW if count < _FEW else _BLOCK))
    return -(-n // blocks)


def _unsort(ordered: Tensor, lists: _Sorted) -> Tensor:
    n = lists.order.shape[1]
    return torch.empty_like(lists.order, dtype=ordered.dtype).scatter_(1, lists.order, ordered[:, :n])


def _finish(result: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Mark lists that hold a NaN, and clear masked places."""
    unknown = values.isnan() if mask is None else values.isnan() & mask
    result.masked_fill_(unknown.any(dim=1, keepdim=True), float("nan"))
    return result if mask is None else result.masked_fill_(~mask, 0.0)


def _finished_gradient(pulls: Tensor, values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """The same for a gradient; infinite values take none."""
    found = _finish((pulls / temperature).to(values.dtype), values, mask)
    return found.masked_fill_(values.abs() > bound(values.dtype), 0.0)


def _chunks(lists: _Sorted) -> Iterator[slice]:
    """Blocks of which so many are looked at together as fill a tile."""
    step = max(1, _TILE_ELEMENTS // lists.block**2)
    for start in range(0, lists.values.numel() // lists.block, step):
        yield slice(start, start + step)


def _above_in_block(values: Tensor, real: Tensor, temperature: float) -> Tensor:
    """How many real items of its block are above each item, itself counted as half, ``[blocks, block]``."""
    factors = _centred_factors(values, temperature)
    if factors is None:
        differences = values.unsqueeze(1) - values.unsqueeze(2)
        return _across(real.unsqueeze(1), differences.div_(temperature).sigmoid_()).squeeze(1)
    inverse = (factors.unsqueeze(1) + factors.unsqueeze(2)).reciprocal_()
    return torch.bmm((factors * real).unsqueeze(1), inverse).squeeze(1)


def _pulls_in_block(values: Tensor, real: Tensor, temperature: float, own: Tensor) -> Tensor:
    """``sum_j slope_ij (own_j - own_i)`` over the real items of a block, ``[blocks, block]``."""
    factors = _centred_factors(values, temperature)
    if factors is None:
        # Of both sigmoids of a pair the smaller one: 1 - sigmoid of the larger would lose its digits.
        share = (values.unsqueeze(1) - values.unsqueeze(2)).abs_().div_(-temperature).sigmoid_()
        factors, matrix = torch.ones_like(values), share.addcmul_(share, share, value=-1)
    else:
        inverse = (factors.unsqueeze(1) + factors.unsqueeze(2)).reciprocal_()
        matrix = inverse.mul_(inverse)
    # An item pulls on itself with nothing; left in, its 1/4 would cancel with rounding only.
    matrix.diagonal(dim1=1, dim2=2).zero_()
    weights = factors * real
    # Symmetric, so that columns may stand for rows.
    sums = torch.bmm(torch.stack([weights * own, weights], dim=1), matrix)
    return factors * (sums[:, 0] - own * sums[:, 1])


def _centred_factors(values: Tensor, temperature: float) -> Tensor | None:
    """``exp((x - c) / temperature)`` with c the middle of the block; None where a block is too wide for it."""
    widest = _LIMITS[values.dtype][1]
    if ((values[:, 0] - values[:, -1]).amax() / temperature) > 2 * widest:
        return None
    middle = values[:, :1].double().add(values[:, -1:]).div_(2)
    return values.double().sub(middle).div_(temperature).exp_().to(values.dtype)


def _strips(lists: _Sorted, temperature: float) -> Iterator[_Strip]:
    """Every pair of different blocks once, as far as its sigmoids are not saturated."""
    count, padded = lists.values.shape
    block = lists.block
    saturated, widest = _LIMITS[lists.values.dtype]
    lows = lists.values[:, block - 1 :: block]
    # The first item so far below a block that none of the block's items feels it; a masked one never is felt.
    reach = torch.searchsorted(-lists.values, (saturated * temperature - lows).contiguous(), right=True)
    reach = reach.minimum(lists.real.sum(dim=1, keepdim=True).long())
    step = max(1, min(count, _TILE_ELEMENTS // (block * padded)))
    width = max(block, _TILE_ELEMENTS // (block * step))
    buffer = lists.values.new_empty(step * block * min(width, padded))
    for start in range(0, count, step):
        some = slice(start, start + step)
        # float64 keeps the rounding of an exponent out of the factor.
        values, real = lists.values[some].double(), lists.real[some]
        for near_start, stop in zip(range(0, padded, block), reach[some].amax(dim=0).tolist(), strict=True):
            near = slice(near_start, near_start + block)
            low = values[:, near.stop - 1 : near.stop]
            near_factor = values[:, near].sub(low).div_(temperature).clamp_(max=widest).exp_().to(real.dtype)
            for far_start in range(near.stop, stop, width):
                far = slice(far_start, min(far_start + width, stop))
                factor = values[:, far].sub(low).div_(temperature).clamp_(min=-widest).exp_().to(real.dtype)
                far_factor = factor.mul_(real[:, far])
                shape = (*near_factor.shape, far_factor.shape[1])
                inverse = buffer[: torch.Size(shape).numel()].view(shape)
                torch.add(near_factor.unsqueeze(2), far_factor.unsqueeze(1), out=inverse).reciprocal_()
                yield _Strip(some, near, far, near_factor, far_factor, inverse)


def _across(weights: Tensor, matrix: Tensor) -> Tensor:
    """``[lists, k, far]`` with ``[lists, near, far]`` to ``[lists, k, near]``; this way round bmm takes a fifth."""
    return torch.bmm(weights, matrix.transpose(1, 2))
