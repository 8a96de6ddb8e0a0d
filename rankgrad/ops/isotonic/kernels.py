"""Triton kernels of isotonic regression: one program a list, the list in registers."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add(a, b, LOGARITHMIC: tl.constexpr):
    if LOGARITHMIC:
        high = tl.maximum(a, b)
        low = tl.minimum(a, b)
        # Beyond the last item both are infinite and have no difference.
        equal = high == low
        difference = tl.where(equal, 0.0, low) - tl.where(equal, 0.0, high)
        total = high + tl.log(1.0 + tl.exp(difference))
    else:
        total = a + b
    return total


@triton.jit
def mean_of(numerators, weights, LOGARITHMIC: tl.constexpr):
    if LOGARITHMIC:
        return numerators - weights
    else:
        return numerators / weights


@triton.jit
def _isotonic_blocks_kernel(
    numerators_ptr,  # [lists, n] float32
    weights_ptr,  # [lists, n] float32, or None
    blocks_ptr,  # [2, lists, n] int32: first item, end
    lists,
    n,
    WEIGHTED: tl.constexpr,
    LOGARITHMIC: tl.constexpr,
    LEVELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The steps of ``tree.blocks``, with binary searches in place of ``torch.searchsorted`` and of reductions."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < n
    numerators = tl.load(numerators_ptr + row * n + place, mask=inside, other=float("inf"))
    neutral = 0.0 if LOGARITHMIC else 1.0
    if WEIGHTED:
        weights = tl.load(weights_ptr + row * n + place, mask=inside, other=neutral)
    else:
        weights = tl.full([BLOCK], neutral, tl.float32)
    nobody = numerators == float("inf")
    first, end = place, place + 1
    value = mean_of(numerators, weights, LOGARITHMIC)
    # Sums from an item to the end of its half, and from the start of its half to an item.
    to_end, to_end_weights = numerators, weights
    from_start, from_start_weights = numerators, weights
    for level in range(LEVELS):
        half = 1 << level
        right = (place & half) != 0
        middle = (place & (-2 * half)) + half
        other = tl.where(right, middle - half, middle)

        low = tl.zeros([BLOCK], tl.int32)
        high = low + half
        for _ in range(level + 1):
            probe = (low + high) >> 1
            found = tl.gather(value, other + tl.minimum(probe, half - 1), 0)
            below = tl.where(right, found < value, found <= value)
            searching = low < high
            low = tl.where(searching & below, probe + 1, low)
            high = tl.where(searching & (below == 0), probe, high)
        opposite = tl.where(right, half - low, low)

        left_edge = tl.minimum(tl.where(right, middle - opposite, first), BLOCK - 1)
        right_edge = tl.where(right, end - 1, middle + opposite - 1)
        total = add(tl.gather(to_end, left_edge, 0), tl.gather(from_start, right_edge, 0), LOGARITHMIC)
        weight = add(tl.gather(to_end_weights, left_edge, 0), tl.gather(from_start_weights, right_edge, 0), LOGARITHMIC)
        mean = mean_of(total, weight, LOGARITHMIC)
        touches = tl.where(right, first == middle, end == middle)
        joins = (opposite > 0) & (touches | tl.where(right, mean >= value, mean <= value))
        joins = joins.to(tl.int32)

        # Those that join are the end of the left half and the start of the right one.
        start, start_high = middle - half, middle
        stop, stop_high = middle, middle + half
        for _ in range(level + 1):
            probe = (start + start_high) >> 1
            found = tl.gather(joins, tl.minimum(probe, middle - 1), 0) != 0
            searching = start < start_high
            start = tl.where(searching & (found == 0), probe + 1, start)
            start_high = tl.where(searching & found, probe, start_high)
            probe = (stop + stop_high) >> 1
            found = tl.gather(joins, tl.minimum(probe, middle + half - 1), 0) != 0
            searching = stop < stop_high
            stop = tl.where(searching & found, probe + 1, stop)
            stop_high = tl.where(searching & (found == 0), probe, stop_high)

        pooled = (place >= start) & (place < stop)
        total = add(tl.gather(to_end, start, 0), tl.gather(from_start, stop - 1, 0), LOGARITHMIC)
        weight = add(tl.gather(to_end_weights, start, 0), tl.gather(from_start_weights, stop - 1, 0), LOGARITHMIC)
        value = tl.where(pooled, mean_of(total, weight, LOGARITHMIC), value)
        first = tl.where(pooled, start, first)
        end = tl.where(pooled, stop, end)

        beyond = tl.gather(to_end, middle, 0)
        to_end = tl.where(right, to_end, add(to_end, beyond, LOGARITHMIC))
        beyond = tl.gather(to_end_weights, middle, 0)
        to_end_weights = tl.where(right, to_end_weights, add(to_end_weights, beyond, LOGARITHMIC))
        beyond = tl.gather(from_start, middle - 1, 0)
        from_start = tl.where(right, add(from_start, beyond, LOGARITHMIC), from_start)
        beyond = tl.gather(from_start_weights, middle - 1, 0)
        from_start_weights = tl.where(right, add(from_start_weights, beyond, LOGARITHMIC), from_start_weights)
    tl.store(blocks_ptr + row * n + place, tl.where(nobody, place, first), mask=inside)
    tl.store(blocks_ptr + (row + lists) * n + place, tl.where(nobody, place + 1, end), mask=inside)


@triton.jit
def add_in_block(sum_before, first_before, sum_here, first_here):
    """The sum so far in the block that an item belongs to."""
    return tl.where(first_before == first_here, sum_before + sum_here, sum_here), first_here


@triton.jit
def _isotonic_block_sum_kernel(
    x_ptr,  # [lists, n] float32
    blocks_ptr,  # [2, lists, n] int32: first item, end
    sums_ptr,  # [lists, n] float32
    lists,
    n,
    BLOCK: tl.constexpr,
):
    """At every item the sum over its block, forward and, being its own transpose, backward."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < n
    x = tl.load(x_ptr + row * n + place, mask=inside, other=0.0)
    first = tl.load(blocks_ptr + row * n + place, mask=inside, other=-1)
    end = tl.load(blocks_ptr + (row + lists) * n + place, mask=inside, other=1)
    sums, _ = tl.associative_scan((x, first), 0, add_in_block)
    tl.store(sums_ptr + row * n + place, tl.gather(sums, end - 1, 0), mask=inside)
