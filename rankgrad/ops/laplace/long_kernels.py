"""Laplace ranks of sorted lists longer than a program holds, and their gradient: a chunk of a list a program."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from rankgrad.ops.laplace.kernels import bounded
from rankgrad.ops.scans.kernels import decay

# What a launch leaves: each chunk's own sums, its own sums of the terms that depend on sums, or the result.
FIRST, SECOND, RESULT = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def load_sorted(values_ptr, mask_ptr, order_ptr, row, place, stride_list, n, limit, MASKED: tl.constexpr):
    """The finite values at places of the order, whether a real item is there, and where they came from."""
    present = (place >= 0) & (place < n)
    source = tl.load(order_ptr + row * n + place, mask=present, other=0)
    if MASKED:
        present = present & (tl.load(mask_ptr + row * n + source, mask=present, other=0) != 0)
    values = tl.load(values_ptr + row * stride_list + source, mask=present, other=0.0).to(tl.float32)
    return bounded(tl.where(values == values, values, 0.0), limit), present, source


@triton.jit
def load_distances(values_ptr, mask_ptr, order_ptr, row, place, stride_list, n, scale, limit, MASKED: tl.constexpr):
    """The distances to the item before and to the item behind, times ``scale``; infinite where there is none."""
    own, present, source = load_sorted(values_ptr, mask_ptr, order_ptr, row, place, stride_list, n, limit, MASKED)
    before, _, _ = load_sorted(values_ptr, mask_ptr, order_ptr, row, place - 1, stride_list, n, limit, MASKED)
    behind, follows, _ = load_sorted(values_ptr, mask_ptr, order_ptr, row, place + 1, stride_list, n, limit, MASKED)
    above = tl.where(present & (place > 0), tl.maximum(before - own, 0.0) * scale, float("inf"))
    below = tl.where(present & follows, tl.maximum(own - behind, 0.0) * scale, float("inf"))
    return above, below, present, source


@triton.jit
def sum_chunk(
    above, below, above_terms, below_terms, through_ptr, carry_ptr, row, lists, chunk, chunks, SUMMARY: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """Running sums down and up the list, with what comes in, or of this chunk alone, whose ends are then stored.

    Chunks are counted from the end where sums run up the list.
    """
    through_down, down = tl.associative_scan((above, above_terms), 0, decay)
    through_up, up = tl.associative_scan((below, below_terms), 0, decay, reverse=True)
    lane = tl.arange(0, CHUNK)
    first = row * chunks + chunk
    last = (lists + row) * chunks + chunks - 1 - chunk
    if SUMMARY:
        zero = tl.zeros([CHUNK], tl.int64)
        tl.store(through_ptr + first + zero, through_down, mask=lane == CHUNK - 1)
        tl.store(carry_ptr + first + zero, down, mask=lane == CHUNK - 1)
        tl.store(through_ptr + last + zero, through_up, mask=lane == 0)
        tl.store(carry_ptr + last + zero, up, mask=lane == 0)
    else:
        down += tl.exp2(-through_down) * tl.load(carry_ptr + first - 1, mask=chunk > 0, other=0.0)
        up += tl.exp2(-through_up) * tl.load(carry_ptr + last - 1, mask=chunk < chunks - 1, other=0.0)
    return down, up


@triton.jit
def _laplace_long_rank_kernel(
    values_ptr,  # [lists, n]
    mask_ptr,  # [lists, n]
    order_ptr,  # [lists, n] int32
    unknown_ptr,  # [lists] uint8
    ranks_ptr,  # [lists, n] float32
    through_ptr,  # [2, lists, chunks] float32
    carry_ptr,  # [2, lists, chunks] float32
    stride_list,
    lists,
    n,
    chunks,
    scale,
    limit,
    MASKED: tl.constexpr,
    PART: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The ends of a chunk, or its ranks. ``scale`` is log2(e) / temperature."""
    row = tl.program_id(0).to(tl.int64) // chunks
    chunk = tl.program_id(0).to(tl.int64) % chunks
    place = chunk * CHUNK + tl.arange(0, CHUNK)
    above, below, present, source = load_distances(
        values_ptr, mask_ptr, order_ptr, row, place, stride_list, n, scale, limit, MASKED
    )
    down, up = sum_chunk(
        above,
        below,
        tl.exp2(-above),
        tl.exp2(-below),
        through_ptr,
        carry_ptr,
        row,
        lists,
        chunk,
        chunks,
        PART == FIRST,
        CHUNK,
    )
    if PART == RESULT:
        ranks = (place + 1).to(tl.float32) + 0.5 * (up - down)
        ranks = tl.where(tl.load(unknown_ptr + row) != 0, float("nan"), ranks)
        tl.store(ranks_ptr + row * n + source, tl.where(present, ranks, 0.0), mask=place < n)


@triton.jit
def _laplace_long_rank_backward_kernel(
    values_ptr,  # [lists, n]
    mask_ptr,  # [lists, n]
    order_ptr,  # [lists, n] int32
    unknown_ptr,  # [lists] uint8
    gradients_ptr,  # [lists, n] float32
    result_ptr,  # [lists, n]
    through_ptr,  # [2, lists, chunks] float32
    carry_ptr,  # [2, lists, chunks] float32, of the neighbours
    second_through_ptr,  # [2, lists, chunks] float32
    second_carry_ptr,  # [2, lists, chunks] float32, of the pulls
    stride_list,
    lists,
    n,
    chunks,
    scale,
    limit,
    half_inverse,
    MASKED: tl.constexpr,
    PART: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The ends of a chunk's pulls, or the gradient of its values; ``half_inverse`` is 1 / 2 temperature."""
    row = tl.program_id(0).to(tl.int64) // chunks
    chunk = tl.program_id(0).to(tl.int64) % chunks
    place = chunk * CHUNK + tl.arange(0, CHUNK)
    above, below, present, source = load_distances(
        values_ptr, mask_ptr, order_ptr, row, place, stride_list, n, scale, limit, MASKED
    )
    down, up = sum_chunk(
        above, below, tl.exp2(-above), tl.exp2(-below), through_ptr, carry_ptr, row, lists, chunk, chunks, False, CHUNK
    )
    _, there, source_before = load_sorted(
        values_ptr, mask_ptr, order_ptr, row, place - 1, stride_list, n, limit, MASKED
    )
    before = tl.load(gradients_ptr + row * n + source_before, mask=there & present, other=0.0)
    _, follows, source_behind = load_sorted(
        values_ptr, mask_ptr, order_ptr, row, place + 1, stride_list, n, limit, MASKED
    )
    behind = tl.load(gradients_ptr + row * n + source_behind, mask=follows, other=0.0)
    received = tl.load(gradients_ptr + row * n + source, mask=present, other=0.0)
    down, up = sum_chunk(
        above,
        below,
        down * (before - received),
        up * (behind - received),
        second_through_ptr,
        second_carry_ptr,
        row,
        lists,
        chunk,
        chunks,
        PART == SECOND,
        CHUNK,
    )
    if PART == RESULT:
        loaded = tl.load(values_ptr + row * stride_list + source, mask=present, other=0.0).to(tl.float32)
        result = tl.where(tl.load(unknown_ptr + row) != 0, float("nan"), (down + up) * half_inverse)
        result = tl.where(present & ~(tl.abs(loaded) > limit), result, 0.0)
        tl.store(result_ptr + row * n + source, result, mask=place < n)
