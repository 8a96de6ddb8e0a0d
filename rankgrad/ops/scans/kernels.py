"""Logarithms of sums of exponentials from the end of a list, and their gradient: a list a program, block by block."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

LOWEST = tl.constexpr(-float("inf"))


LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def decay(distance, total, next_distance, next_total):
    """One after another, two steps of ``y -> 2^-distance y + total``.

    Distances are added up, since factors just below 1, of which a long list has many, would round to 1.
    """
    return distance + next_distance, tl.exp2(-next_distance) * total + next_total


@triton.jit
def join(peak, total, next_peak, next_total):
    """Two sums ``total exp(peak)`` as one. Equal peaks have no difference where they are infinite."""
    high = tl.maximum(peak, next_peak)
    finite = tl.where(tl.abs(high) == float("inf"), 0.0, high)
    own = tl.where(peak == high, 1.0, tl.exp(peak - finite))
    other = tl.where(next_peak == high, 1.0, tl.exp(next_peak - finite))
    return high, total * own + next_total * other


@triton.jit
def _reverse_logcumsumexp_forward_kernel(
    x_ptr,  # [lists, n]
    sums_ptr,  # [lists, n] float32
    n,
    blocks,
    BLOCK: tl.constexpr,
):
    """From the last block to the first, each with the sum of those behind it."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    peak_behind = tl.full([], LOWEST, tl.float32)
    total_behind = tl.zeros([], tl.float32)
    for block in range(blocks):
        at = (blocks - 1 - block) * BLOCK + place
        x = tl.load(x_ptr + row * n + at, mask=at < n, other=LOWEST).to(tl.float32)
        # A NaN is in the total, where no comparison loses it.
        unknown = x != x
        peak = tl.where(unknown, LOWEST, x)
        total = tl.where(unknown, x, 1.0)
        peak, total = tl.associative_scan((peak, total), 0, join, reverse=True)
        peak, total = join(peak, total, peak_behind + tl.zeros([BLOCK], tl.float32), total_behind)
        # Infinite and equal to its peak: log of a total of ones adds nothing that shows.
        tl.store(sums_ptr + row * n + at, peak + tl.log(total), mask=at < n)
        peak_behind = tl.max(tl.where(place == 0, peak, LOWEST), 0)
        total_behind = tl.sum(tl.where(place == 0, total, 0.0), 0)


@triton.jit
def _reverse_logcumsumexp_backward_kernel(
    x_ptr,  # [lists, n]
    sums_ptr,  # [lists, n] float32
    gradients_ptr,  # [lists, n] float32
    result_ptr,  # [lists, n]
    n,
    blocks,
    BLOCK: tl.constexpr,
):
    """From the first block to the last: ``z_i = exp(y_i - y_{i-1}) z_{i-1} + g_i``, of which x takes ``exp(x - y)``."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    carried = tl.zeros([], tl.float32)
    for block in range(blocks):
        at = block * BLOCK + place
        inside = at < n
        x = tl.load(x_ptr + row * n + at, mask=inside, other=LOWEST).to(tl.float32)
        sums = tl.load(sums_ptr + row * n + at, mask=inside, other=LOWEST)
        before = tl.load(sums_ptr + row * n + at - 1, mask=inside & (at > 0), other=LOWEST)
        gradients = tl.load(gradients_ptr + row * n + at, mask=inside, other=0.0)
        infinite = tl.abs(sums) == float("inf")
        broken = infinite | (before == LOWEST)
        falls = tl.maximum(tl.where(broken, 0.0, before) - tl.where(broken, 0.0, sums), 0.0)
        distances = tl.where(broken, float("inf"), falls * LOG2_E)
        terms = tl.where(infinite, 0.0, gradients)
        through, received = tl.associative_scan((distances, terms), 0, decay)
        received += tl.exp2(-through) * carried
        share = tl.exp(tl.where(infinite, LOWEST, x) - tl.where(infinite, 0.0, sums))
        tl.store(result_ptr + row * n + at, share * received, mask=inside)
        carried = tl.sum(tl.where(place == BLOCK - 1, received, 0.0), 0)
