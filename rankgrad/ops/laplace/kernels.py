"""Laplace ranks of lists that fit a program, and running sums of lists of any length."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from rankgrad.ops.scans.kernels import decay
from rankgrad.ops.sorted_order.kernels import ordered_bits, sort_with_places, values_of

ALONE, SUMMARY, CONTINUED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def decayed(distances, terms, BACKWARD: tl.constexpr):
    """``y_i = 2^-distances_i y_{i-1} + terms_i``, or the same from the end."""
    _, sums = tl.associative_scan((distances, terms), 0, decay, reverse=BACKWARD)
    return sums


@triton.jit
def neighbours(distances, BACKWARD: tl.constexpr):
    """The sum of 2 to the power of minus the distance to each item before, or behind."""
    return decayed(distances, tl.exp2(-distances), BACKWARD)


@triton.jit
def bounded(values, limit):
    values = tl.minimum(values, limit, propagate_nan=tl.PropagateNan.ALL)
    return tl.maximum(values, -limit, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def distances_between(values, present, place, scale):
    """The distance to the item before, times ``scale``; infinite where no item is before, or here."""
    before = tl.gather(values, tl.maximum(place - 1, 0), 0)
    return tl.where(present & (place > 0), tl.maximum(before - values, 0.0) * scale, float("inf"))


@triton.jit
def next_of(x, place, absent, BLOCK: tl.constexpr):
    """``x`` of the next item, ``absent`` after the last place."""
    return tl.where(place < BLOCK - 1, tl.gather(x, tl.minimum(place + 1, BLOCK - 1), 0), absent)


@triton.jit
def _laplace_rank_kernel(
    values_ptr,  # [lists, n]
    mask_ptr,  # [lists, n]
    ranks_ptr,  # [lists, n] float32
    order_ptr,  # [lists, n] int32
    stride_list,
    n,
    scale,
    limit,
    MASKED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A list a program: value and place are sorted as one integer. ``scale`` is log2(e) / temperature."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < n
    real = inside
    if MASKED:
        real = real & (tl.load(mask_ptr + row * n + place, mask=inside, other=0) != 0)
    values = tl.load(values_ptr + row * stride_list + place, mask=real, other=0.0).to(tl.float32)
    unknown = tl.max((values != values).to(tl.int32), 0)
    # Adding 0 makes -0 equal 0.
    values = bounded(tl.where(values == values, values, 0.0), limit) + 0.0
    keys, source, present = sort_with_places(~ordered_bits(values), real, place)
    values = tl.where(present, values_of(~keys), 0.0)
    above = distances_between(values, present, place, scale)
    below = next_of(above, place, float("inf"), BLOCK)
    correction = neighbours(below, True) - neighbours(above, False)
    ranks = (place + 1).to(tl.float32) + 0.5 * correction
    ranks = tl.where(unknown != 0, float("nan"), ranks)
    tl.store(ranks_ptr + row * n + source, tl.where(present, ranks, 0.0), mask=source < n)
    tl.store(order_ptr + row * n + place, source, mask=inside)


@triton.jit
def _laplace_rank_backward_kernel(
    values_ptr,  # [lists, n]
    mask_ptr,  # [lists, n]
    order_ptr,  # [lists, n] int32
    gradients_ptr,  # [lists, n] float32
    result_ptr,  # [lists, n]
    stride_list,
    n,
    scale,
    limit,
    half_inverse,
    MASKED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of the values of a list a program; ``half_inverse`` is 1 / 2 temperature."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < n
    source = tl.load(order_ptr + row * n + place, mask=inside, other=0)
    present = inside
    if MASKED:
        present = present & (tl.load(mask_ptr + row * n + source, mask=inside, other=0) != 0)
    loaded = tl.load(values_ptr + row * stride_list + source, mask=present, other=0.0).to(tl.float32)
    unknown = tl.max((loaded != loaded).to(tl.int32), 0)
    values = bounded(tl.where(loaded == loaded, loaded, 0.0), limit)
    received = tl.load(gradients_ptr + row * n + source, mask=present, other=0.0)
    above = distances_between(values, present, place, scale)
    below = next_of(above, place, float("inf"), BLOCK)
    before = tl.gather(received, tl.maximum(place - 1, 0), 0)
    behind = next_of(received, place, 0.0, BLOCK)
    pulls = decayed(above, neighbours(above, False) * (before - received), False)
    pulls += decayed(below, neighbours(below, True) * (behind - received), True)
    result = tl.where(present & ~(tl.abs(loaded) > limit), pulls * half_inverse, 0.0)
    result = tl.where(present & (unknown != 0) & ~(tl.abs(loaded) > limit), float("nan"), result)
    tl.store(result_ptr + row * n + source, result, mask=inside)


@triton.jit
def _laplace_scan_kernel(
    distances_ptr,  # [lists, n] float32
    above_ptr,  # [lists, n] float32
    below_ptr,  # [lists, n] float32
    sums_ptr,  # [2, lists, n] float32
    through_ptr,  # [2, lists, chunks] float32
    carry_ptr,  # [2, lists, chunks] float32
    lists,
    n,
    chunks,
    PART: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Running sums of a chunk of a list, down the list or up it: all of them, their end only, or with what came in."""
    chunk = tl.program_id(0).to(tl.int64) % chunks
    row = tl.program_id(0).to(tl.int64) // chunks
    step = chunk * CHUNK + tl.arange(0, CHUNK)
    inside = step < n
    if row < lists:
        at = row * n + step
        distances = tl.load(distances_ptr + at, mask=inside, other=float("inf"))
        terms = tl.load(above_ptr + at, mask=inside, other=0.0)
    else:
        at = (row - lists) * n + (n - 1 - step)
        distances = tl.load(distances_ptr + at + 1, mask=inside & (step > 0), other=float("inf"))
        terms = tl.load(below_ptr + at, mask=inside, other=0.0)
    through, sums = tl.associative_scan((distances, terms), 0, decay)
    if PART == SUMMARY:
        last = tl.arange(0, CHUNK) == CHUNK - 1
        to = row * chunks + chunk + tl.zeros([CHUNK], tl.int64)
        tl.store(through_ptr + to, through, mask=last)
        tl.store(carry_ptr + to, sums, mask=last)
    else:
        if PART == CONTINUED:
            sums += tl.exp2(-through) * tl.load(carry_ptr + row * chunks + chunk - 1, mask=chunk > 0, other=0.0)
        to = tl.where(row < lists, row * n + step, row * n + (n - 1 - step))
        tl.store(sums_ptr + to, sums, mask=inside)


@triton.jit
def _laplace_carry_kernel(
    through_ptr,  # [rows, chunks] float32
    carry_ptr,  # [rows, chunks] float32
    chunks,
    BLOCK: tl.constexpr,
):
    """From each chunk's own end to the end of all chunks so far, in place."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    carried = tl.zeros([], tl.float32)
    for first in range(0, chunks, BLOCK):
        at = row * chunks + first + place
        inside = first + place < chunks
        through = tl.load(through_ptr + at, mask=inside, other=float("inf"))
        ends = tl.load(carry_ptr + at, mask=inside, other=0.0)
        through, ends = tl.associative_scan((through, ends), 0, decay)
        ends += tl.exp2(-through) * carried
        tl.store(carry_ptr + at, ends, mask=inside)
        carried = tl.sum(tl.where(place == BLOCK - 1, ends, 0.0), 0)
