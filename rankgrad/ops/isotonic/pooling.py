"""Blocks of an isotonic regression in numpy: what need not be searched is seen at once, the rest is one scipy call.

``docs/ops/isotonic.md`` says why lists can share a call.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

# exp of these, and products of two of them, lie within float64.
_WIDEST = 300.0
# Logarithms that a call covers before its last segment begins; with that segment they span 700, around 0.
_COVERED = 400.0
# Logarithms between segments.
_APART = 0.125
# Items that a call may have: a level keeps 32 bits beyond its segment's span divided by its number of items.
_ITEMS = 1 << 20


class _Runs(NamedTuple):
    """Neighbours that do not rise, and the segments they are in, which no block leaves."""

    starts: Any
    """The first item of each run."""
    lengths: Any
    numbers: Any
    """Of each run's segment."""
    opens: Any
    """The first run of each segment."""
    low: Any
    """The lowest level of each segment."""
    high: Any


class _Stack(NamedTuple):
    """Runs whose values keep segments apart, so that one regression takes many of them."""

    values: Any
    totals: Any
    calls: Any
    """The segments that begin a call."""


def block_starts(levels: Any, weights: Any, present: Any, *, logarithmic: bool, regression: Any) -> Any:
    """Where blocks begin, ``[lists, items]`` bool; None if scipy is needed and missing, or cannot hold the numbers.

    Args:
        levels: what each item would be alone; ``inf`` at the end of a list where it has no items.
        weights: positive weights, or their logarithms where ``logarithmic``; None = equal.
        present: where there are items; None = everywhere.
        logarithmic: levels are logarithms of means of exponentials.
        regression: ``scipy.optimize.isotonic_regression`` or None.
    """
    # Neighbours that do not rise share a block.
    begins = _rises(levels, levels, present)
    if begins.all():
        return begins
    # No block reaches over a place before which all levels lie below those after it.
    tensor = torch.from_numpy(levels)
    highest = tensor.cummax(dim=-1).values.numpy()
    lowest = tensor.flip(-1).cummin(dim=-1).values.flip(-1).numpy()
    cuts = _rises(highest, lowest, present)
    if np.array_equal(cuts, begins):
        return begins
    if regression is None:
        return None
    first = np.flatnonzero(begins)
    opens = cuts.ravel().take(first)
    lengths = lengths_of(first, begins.size)
    # A segment of one run is a block; it is left out where that is much, and where there are no items.
    several = ~opens
    several[:-1] |= several[1:]
    levels, weights = levels.ravel(), None if weights is None else weights.ravel()
    starts = first
    if present is not None or 2 * np.count_nonzero(several) < several.size:
        several = np.flatnonzero(several)
        first, opens, lengths = first.take(several), opens.take(several), lengths.take(several)
        starts = np.cumsum(lengths) - lengths
        items = np.repeat(first - starts, lengths)
        items += np.arange(items.size)
        levels, weights = levels.take(items), None if weights is None else weights.take(items)
    numbers = np.cumsum(opens) - 1
    opens = np.flatnonzero(opens)
    ends = first + lengths
    ends = np.append(ends[opens[1:] - 1], ends[-1])
    runs = _Runs(starts, lengths, numbers, opens, lowest.ravel().take(first[opens]), highest.ravel().take(ends - 1))
    most = max(1, _ITEMS // int((ends - first[opens]).max()))
    stack = _exponentials(levels, weights, runs) if logarithmic else _linear(levels, weights, runs, most)
    if stack is None:
        return None
    kept = np.zeros(len(first), dtype=bool)
    for start, end in pairwise([*opens[stack.calls], len(first)]):
        found = regression(stack.values[start:end], weights=stack.totals[start:end])
        kept[start + found.blocks[:-1]] = True
    begins.ravel()[first] = kept
    return begins


def lengths_of(starts: Any, total: int) -> Any:
    """How many items from each start to the next."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = total - starts[-1]
    return lengths


def pooled(begins: Any) -> Any:
    """An index of the items that are not alone; of all items where fewer than half are alone."""
    shared = np.empty(begins.size, dtype=bool)
    np.logical_and(begins.ravel()[:-1], begins.ravel()[1:], out=shared[:-1])
    shared[-1] = begins.ravel()[-1]
    np.logical_not(shared, out=shared)
    return np.flatnonzero(shared) if 2 * np.count_nonzero(shared) < shared.size else slice(None)


def _rises(before: Any, after: Any, present: Any) -> Any:
    """Where an item of ``after`` lies above its predecessor of ``before``, or has none."""
    result = np.empty(after.shape, dtype=bool)
    np.less(before.ravel()[:-1], after.ravel()[1:], out=result.ravel()[1:])
    result[:, 0] = True
    if present is not None:
        result |= ~present
    return result


def _linear(levels: Any, weights: Any, runs: _Runs, most: int) -> _Stack | None:
    """Means of runs, scaled to 0..1 in their segment, and segment above segment; ``most`` segments in a call."""
    if max(runs.high.max(), -runs.low.min()) > np.finfo(np.float64).max / (2 * levels.size):
        return None
    totals = runs.lengths.astype(np.float64) if weights is None else np.add.reduceat(weights, runs.starts)
    values = np.add.reduceat(levels if weights is None else levels * weights, runs.starts) / totals
    # A power of two scales without rounding.
    spans = np.ldexp(1.0, np.frexp(runs.high - runs.low)[1])
    numbers = np.arange(len(spans))
    values -= runs.low[runs.numbers]
    values /= spans[runs.numbers]
    values += (2.0 * (numbers % most))[runs.numbers]
    return _Stack(values, totals, numbers[::most])


def _exponentials(levels: Any, weights: Any, runs: _Runs) -> _Stack | None:
    """Means of exponentials, which their exponents hold apart: no digit is lost."""
    spans = runs.high - runs.low
    if spans.max() > _WIDEST:
        return None
    sizes = np.add.reduceat(runs.lengths, runs.opens)
    scale, totals = 1.0, runs.lengths.astype(np.float64)
    if weights is not None:
        of_segments = runs.starts[runs.opens]
        top = np.maximum.reduceat(weights, of_segments)
        if (top - np.minimum.reduceat(weights, of_segments)).max() > _WIDEST:
            return None
        scale = np.exp(weights - np.repeat(top, sizes))
        totals = np.add.reduceat(scale, runs.starts)
    below = np.append(0.0, np.cumsum(spans[:-1] + _APART))
    calls = below // _COVERED
    floors = below - calls * _COVERED - (_COVERED + _WIDEST) / 2
    values = np.exp(levels - np.repeat(runs.low - floors, sizes)) * scale
    return _Stack(np.add.reduceat(values, runs.starts) / totals, totals, np.flatnonzero(np.diff(calls, prepend=-1.0)))
