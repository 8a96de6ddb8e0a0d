"""Projections on a permutahedron on a CPU: one pass over the lists in numpy, forward and backward.

``docs/ops/isotonic.md`` has the formulas; ``projection.py`` composes the same of torch's operators for other devices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad.ops.isotonic import cpu

_MODERATE = 2.0**24


class Projection(NamedTuple):
    """What is projected: ``-x / temperature`` onto places (ranks), or places over the temperature onto x (sorting)."""

    temperature: float
    ranks: bool
    logarithmic: bool


def forward(x: Tensor, mask: Tensor, projection: Projection) -> tuple[Tensor, Tensor, Tensor]:
    """The projection ``[lists, items]``, where in all items each sorted one was, and the blocks."""
    if not x.numel():
        empty = torch.empty(x.shape, dtype=torch.int64)
        return torch.empty_like(x), empty, torch.empty((2, *x.shape), dtype=torch.int32)
    temperature, of_ranks, logarithmic = projection
    lists, n = x.shape
    keys, real = x.contiguous().numpy(), mask.contiguous().numpy()
    wrong = (np.isnan(keys) & real).any(axis=-1, keepdims=True)
    keys = bounded(keys, real & ~wrong, projection)
    whole = bool(real.all())
    places = cpu.order(torch.from_numpy(keys if whole else np.where(real, keys, -np.inf))).numpy()
    places += np.arange(0, lists * n, n)[:, None]
    ordered = keys.ravel()[places]
    count = real.sum(axis=-1, keepdims=True)
    present = np.arange(n) < count
    # Full lists all have the same places, which one row holds.
    falling = np.maximum((count[:1] if whole else count) - np.arange(n, dtype=np.float64), 0.0)
    falling = np.broadcast_to(falling, keys.shape)
    ordered64 = ordered.astype(np.float64)
    z, onto = (ordered64, falling) if of_ranks else (falling / temperature, ordered64)
    if logarithmic and of_ranks:
        onto = np.log(np.maximum(falling, 1.0))
    numerators = onto if logarithmic else onto - z
    if not whole:
        numerators = np.where(present, numerators, np.inf)
    weights = torch.from_numpy(z) if logarithmic else None
    blocks = cpu.blocks(torch.from_numpy(numerators), weights, logarithmic=logarithmic)
    starts, lengths = _starts(blocks)
    # float64 has the digits to spare for float32 lists, unless infinity had to be bounded.
    if not logarithmic and keys.dtype == np.float32 and abs(ordered).max() < _MODERATE:
        result = z + _spread(np.add.reduceat(numerators.ravel(), starts) / lengths, lengths, numerators)
        alone = starts[lengths == 1]
        result.ravel()[alone] = onto.ravel()[alone]
    else:
        result = _relative(z, onto, falling if of_ranks and logarithmic else None, starts, lengths, projection)
    result = result.astype(keys.dtype)
    if of_ranks:
        result = _put(result, places)
        present = real
    result[~present] = 0.0
    result[wrong & present] = np.nan
    return torch.from_numpy(result), torch.from_numpy(places), blocks


def _relative(z: Any, onto: Any, places: Any, starts: Any, lengths: Any, projection: Projection) -> Any:
    """The projection, each block seen from its first item, its highest: nothing overflows.

    An item alone in its block deviates by exactly 0, and is exponentiated (``places``) without rounding.
    """
    own = z - _spread(z.ravel()[starts], lengths, z)
    target = onto - _spread(onto.ravel()[starts], lengths, z)
    base = _spread((onto if places is None else places).ravel()[starts], lengths, z)
    if not projection.logarithmic:
        means = np.add.reduceat((target - own).ravel(), starts) / lengths
        return own + _spread(means, lengths, z) + base
    sums = np.add.reduceat(np.exp(target).ravel(), starts) / np.add.reduceat(np.exp(own).ravel(), starts)
    deviation = own + _spread(np.log(sums), lengths, z)
    return deviation + base if places is None else np.exp(deviation) * base


def backward(
    gradient: Tensor, x: Tensor, mask: Tensor, result: Tensor, places: Tensor, blocks: Tensor, projection: Projection
) -> Tensor:
    """The gradient of x."""
    if not x.numel():
        return torch.empty_like(x)
    temperature, of_ranks, logarithmic = projection
    keys, real, order = x.contiguous().numpy(), mask.contiguous().numpy(), places.numpy()
    upstream = gradient.contiguous().numpy().astype(np.float64)
    upstream[~(real if of_ranks else np.arange(x.shape[-1]) < real.sum(axis=-1, keepdims=True))] = 0.0
    starts, lengths = _starts(blocks)
    wrong = (np.isnan(keys) & real).any(axis=-1, keepdims=True)
    fine = real & np.isfinite(keys) & ~wrong
    if of_ranks:
        upstream = upstream.ravel()[order]
    weights = None
    if logarithmic:
        ordered = bounded(keys, real & ~wrong, projection).ravel()[order].astype(np.float64)
        weights = np.exp(ordered - _spread(ordered.ravel()[starts], lengths, ordered))
        weights /= _spread(np.add.reduceat(weights.ravel(), starts), lengths, ordered)
    if of_ranks and weights is not None:
        ranks = np.where(wrong, 0.0, result.numpy()).ravel()[order]
        shared = np.add.reduceat((upstream * ranks).ravel(), starts)
        received = ranks * upstream - weights * _spread(shared, lengths, upstream)
    else:
        sums = np.add.reduceat(upstream.ravel(), starts)
        shared = sums if weights is not None else sums / lengths
        received = _spread(shared, lengths, upstream)
        received = upstream - received if of_ranks else received if weights is None else received * weights
    if of_ranks:
        received /= -temperature
    return torch.from_numpy(np.where(fine, _put(received.astype(keys.dtype), order), np.zeros((), keys.dtype)))


def bounded(keys: Any, real: Any, projection: Projection) -> Any:
    """What is sorted: infinite values beyond all others, and still such that they can be added up."""
    limit = np.finfo(keys.dtype).max / (4 * keys.shape[-1])
    scaled = keys / keys.dtype.type(-projection.temperature) if projection.ranks else keys
    if real.all() and abs(scaled).max() <= limit:
        return scaled
    return np.where(real, scaled.clip(-limit, limit), keys.dtype.type(0))


def _starts(blocks: Tensor) -> tuple[Any, Any]:
    """Where in all items each block starts, and its length."""
    first, end = blocks.numpy()
    starts = np.flatnonzero(first == np.arange(first.shape[-1], dtype=np.int32))
    return starts, (end - first).ravel()[starts]


def _spread(of_blocks: Any, lengths: Any, like: Any) -> Any:
    return np.repeat(of_blocks, lengths).reshape(like.shape)


def _put(ordered: Any, places: Any) -> Any:
    result = np.empty_like(ordered)
    result.ravel()[places.ravel()] = ordered.ravel()
    return result
