"""Projections on a permutahedron on a CPU: loops that numba compiles where it is installed, else passes in numpy.

``docs/ops/isotonic.md`` has the formulas; ``projection.py`` composes the same of torch's operators for other devices.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad.ops.isotonic import cpu
from rankgrad.ops.isotonic.pooling import lengths_of, pooled

# What float32 holds to a unit.
_MODERATE = 2.0**24
# Of which float64 holds a billionth.
_MODERATE_EXPONENT = 2.0**20


class Blocks(NamedTuple):
    """Blocks of sorted items; where most items are alone in their block, without those."""

    within: Any
    """Which of all items are in these blocks."""
    starts: Any
    lengths: Any

    @classmethod
    def of(cls, begins: Any) -> Blocks:
        """From where blocks begin, ``[lists, items]``."""
        within = pooled(begins)
        inside = begins.ravel()[within]
        starts = np.flatnonzero(inside)
        return cls(within, starts, lengths_of(starts, inside.size))

    def items(self, x: Any) -> Any:
        """Those in these blocks."""
        return x.ravel()[self.within]

    def first(self, x: Any) -> Any:
        """The first item of each block."""
        return x.take(self.starts)

    def sums(self, x: Any) -> Any:
        return np.add.reduceat(x, self.starts)

    def spread(self, each: Any) -> Any:
        """From blocks to items."""
        return np.repeat(each, self.lengths)


class Projection(NamedTuple):
    """What is projected: ``-x / temperature`` onto places (ranks), or places over the temperature onto x (sorting)."""

    temperature: float
    ranks: bool
    logarithmic: bool


def forward(x: Tensor, mask: Tensor, projection: Projection) -> tuple[Tensor, Tensor, Tensor]:
    """The projection, where in all items each sorted one was, and which sorted items begin a block."""
    if not x.numel():
        return torch.empty_like(x), torch.empty(x.shape, dtype=torch.int64), torch.empty_like(mask)
    found = _compiled_forward(x, mask, projection)
    if found is not None:
        return found
    temperature, of_ranks, logarithmic = projection
    keys, real = x.contiguous().numpy(), mask.contiguous().numpy()
    n = keys.shape[-1]
    whole, limit, wrong = bool(real.all()), _limit(keys, projection), None
    peak = float(max(keys.max(), -keys.min())) if whole else np.nan
    if not peak <= limit:
        wrong = (np.isnan(keys) & real).any(axis=-1, keepdims=True)
        keys = bounded(keys, real & ~wrong, projection)
        peak = float(abs(keys).max())
    last = keys.dtype.type(np.inf if of_ranks else -np.inf)
    ordered, places = cpu.sort(keys if whole else np.where(real, keys, last), descending=not of_ranks)
    falling, present = np.arange(n, 0, -1, dtype=np.float64)[None], None
    if not whole:
        count = real.sum(axis=-1, keepdims=True)
        present = np.arange(n) < count
        ordered[~present] = 0.0
        falling = np.maximum(falling - (n - count), 0.0)
    z, onto = (ordered / -temperature, falling) if of_ranks else (falling / temperature, ordered)
    levels = (np.log(np.maximum(falling, 1.0)) if of_ranks and logarithmic else onto) - z
    if present is not None:
        levels[~present] = np.inf
    weights = np.broadcast_to(z, levels.shape) if logarithmic else None
    begins = cpu.block_starts(levels, weights, present, logarithmic=logarithmic)
    result = np.array(np.broadcast_to(onto, levels.shape), dtype=keys.dtype, order="C")
    if not begins.all():
        blocks = Blocks.of(begins)
        own, target = (blocks.items(np.broadcast_to(each, levels.shape)) for each in (z, onto))
        # float64 has the digits to spare for float32 lists, unless infinity had to be bounded.
        if not logarithmic and keys.dtype == np.float32 and peak < _MODERATE * (temperature if of_ranks else 1.0):
            own = own + blocks.spread(blocks.sums(blocks.items(levels)) / blocks.lengths)
            alone = blocks.starts[blocks.lengths == 1]
            own[alone] = target[alone]
        else:
            own = _relative(own, target, blocks, projection)
        result.ravel()[blocks.within] = own
    if of_ranks:
        result, present = _put(result, places), None if whole else real
    if present is not None:
        result[~present] = 0.0
    if wrong is not None:
        result[np.broadcast_to(wrong, result.shape) if present is None else wrong & present] = np.nan
    return torch.from_numpy(result), torch.from_numpy(places), torch.from_numpy(begins)


def _compiled_forward(x: Tensor, mask: Tensor, projection: Projection) -> tuple[Tensor, Tensor, Tensor] | None:
    """The same by compiled loops; None of what they do not take."""
    loops = _loops()
    if loops is None or x.dtype != torch.float32 or x.numel() > 1 << 32:
        return None
    temperature, of_ranks, logarithmic = projection
    keys, real = x.contiguous().numpy(), mask.contiguous().numpy()
    moderate = _MODERATE_EXPONENT if logarithmic else _MODERATE
    if logarithmic and not of_ranks and keys.shape[-1] > moderate * temperature:
        return None
    limit = min(_limit(keys, projection), moderate * (temperature if of_ranks else 1.0))
    places, counts = np.empty(keys.shape, dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    if not loops.pack(keys.view(np.int32), keys, real, not of_ranks, limit, places, counts):
        return None
    places.sort(axis=-1)
    result, begins = np.zeros_like(keys), np.ones_like(real)
    loops.project(places, keys.ravel(), counts, *projection, result.ravel(), begins)
    return torch.from_numpy(result), torch.from_numpy(places), torch.from_numpy(begins)


def _relative(z: Any, onto: Any, blocks: Blocks, projection: Projection) -> Any:
    """The projection, each block seen from its first item, its highest: nothing overflows.

    An item alone in its block deviates by exactly 0.
    """
    temperature, of_ranks, logarithmic = projection
    own = z - blocks.spread(blocks.first(z))
    if logarithmic and of_ranks:
        shares = np.exp(own)
        return shares * blocks.spread(blocks.sums(onto) / blocks.sums(shares))
    high = blocks.first(onto)
    target = onto - blocks.spread(high)
    if not logarithmic:
        return own + blocks.spread(blocks.sums(target - own) / blocks.lengths) + blocks.spread(high)
    # Exponentials of places are a geometric series.
    series = np.expm1(blocks.lengths / -temperature) / np.expm1(-1 / temperature)
    return own + blocks.spread(high + np.log(blocks.sums(np.exp(target)) / series))


def backward(
    gradient: Tensor, x: Tensor, mask: Tensor, result: Tensor, places: Tensor, begins: Tensor, projection: Projection
) -> Tensor:
    """The gradient of x."""
    if not x.numel():
        return torch.empty_like(x)
    found = _compiled_backward(gradient, x, mask, result, places, begins, projection)
    if found is not None:
        return found
    temperature, of_ranks, logarithmic = projection
    keys, real, order, begin = (each.contiguous().numpy() for each in (x, mask, places, begins))
    upstream, ranks, fine = gradient.contiguous().numpy(), result.numpy(), None
    if not (real.all() and np.isfinite(keys).all()):
        wrong = (np.isnan(keys) & real).any(axis=-1, keepdims=True)
        fine = real & ~wrong
        counts = fine if of_ranks else np.arange(keys.shape[-1]) < real.sum(axis=-1, keepdims=True)
        upstream, ranks = (np.where(counts, each, each.dtype.type(0)) for each in (upstream, ranks))
        keys = bounded(keys, fine, projection)
        fine &= np.isfinite(x.contiguous().numpy())
    # Alone in its block, an item keeps its rank, and its value.
    received = np.zeros_like(keys) if of_ranks else upstream.copy()
    if not begin.all():
        blocks = Blocks.of(begin)
        places = blocks.items(order)
        given = (upstream.ravel().take(places) if of_ranks else blocks.items(upstream)).astype(np.float64)
        if not logarithmic:
            means = blocks.spread(blocks.sums(given) / blocks.lengths)
            given = (means - given) / temperature if of_ranks else means
        elif of_ranks:
            shares = ranks.ravel().take(places).astype(np.float64)
            given = (blocks.spread(_weighted_means(given, shares, blocks)) - given) * shares / temperature
        else:
            ordered = keys.ravel().take(places).astype(np.float64)
            shares = np.exp(ordered - blocks.spread(blocks.first(ordered)))
            given = shares * blocks.spread(blocks.sums(given) / blocks.sums(shares))
        received.ravel()[blocks.within] = given
    if not of_ranks or not begin.all():
        received = _put(received, order)
    return torch.from_numpy(received if fine is None else np.where(fine, received, keys.dtype.type(0)))


def _compiled_backward(
    gradient: Tensor, x: Tensor, mask: Tensor, result: Tensor, places: Tensor, begins: Tensor, projection: Projection
) -> Tensor | None:
    """The same by a compiled loop; None of what it does not take."""
    loops = _loops()
    if loops is None or x.dtype != torch.float32:
        return None
    received = torch.zeros_like(x, memory_format=torch.contiguous_format)
    lists = (each.contiguous().numpy() for each in (places, begins))
    items = (each.contiguous().numpy().ravel() for each in (gradient, x, mask, result))
    done = loops.differentiate(*items, *lists, *projection, received.numpy().ravel())
    return received if done else None


@cache
def _loops() -> Any:
    """The compiled loops, None where numba is not installed."""
    from importlib.util import find_spec

    if find_spec("numba") is None:
        return None
    from rankgrad.ops.isotonic import compiled

    return compiled


def _weighted_means(x: Any, weights: Any, blocks: Blocks) -> Any:
    """Of each block; that of an item alone is exactly it. Weights that underflow altogether give the first item."""
    first, totals = blocks.first(x), blocks.sums(weights)
    return first + (blocks.sums(x * weights) - first * totals) / np.where(totals > 0, totals, 1.0)


def bounded(keys: Any, real: Any, projection: Projection) -> Any:
    """What is sorted: infinite values beyond all others, and still such that they can be added up."""
    limit = _limit(keys, projection)
    return np.where(real, keys.clip(-limit, limit), keys.dtype.type(0))


def _limit(keys: Any, projection: Projection) -> float:
    """How large a value may be."""
    largest = torch.finfo(torch.float32 if keys.dtype == np.float32 else torch.float64).max
    limit = largest / (4 * keys.shape[-1])
    return min(limit * projection.temperature, largest) if projection.ranks else limit


def _put(ordered: Any, places: Any) -> Any:
    """Back to where in all items each was."""
    result = torch.empty(ordered.size, dtype=torch.from_numpy(ordered).dtype)
    result.scatter_(0, torch.from_numpy(places.ravel()), torch.from_numpy(ordered.ravel()))
    return result.numpy().reshape(ordered.shape)
