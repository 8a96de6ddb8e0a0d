"""Products with the kernel of Laplace: chunks of a list meet themselves, and of other chunks only the totals."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from rankgrad.ops.relaxed_permutation.kernels import LAPLACE, LOG2_E, add

# Exponentials of less than minus this are 0.
NOTHING = tl.constexpr(128.0)
_RUNTIME = ["dim", "n", "chunks"]


@triton.jit(do_not_specialize=_RUNTIME)
def _laplace_total_kernel(
    ordered_ptr,  # [lists, n] float32, descending
    weights_ptr,  # [lists, dim, n] float32
    totals_ptr,  # [lists, 2, dim, chunks] float32
    dim,
    n,
    chunks,
    scale,
    CHUNK: tl.constexpr,
    DIM: tl.constexpr,
):
    """A chunk's weights as its last item feels them, and as its first does."""
    list_index = (tl.program_id(0) // chunks).to(tl.int64)
    chunk = tl.program_id(0) % chunks
    first = chunk * CHUNK
    last = tl.minimum(first + CHUNK, n) - 1
    base = list_index * n
    places = first + tl.arange(0, CHUNK)
    values = tl.load(ordered_ptr + base + tl.minimum(places, last))
    to_last = tl.exp2((tl.load(ordered_ptr + base + last) - values) * scale * LOG2_E)
    to_first = tl.exp2((values - tl.load(ordered_ptr + base + first)) * scale * LOG2_E)
    dims = tl.program_id(1) * DIM + tl.arange(0, DIM)
    addresses = (list_index * dim + dims[:, None]) * n + places[None, :]
    weights = tl.load(weights_ptr + addresses, mask=(dims[:, None] < dim) & (places[None, :] <= last), other=0.0)
    target = totals_ptr + (2 * list_index * dim + dims) * chunks + chunk
    tl.store(target, tl.sum(weights * to_last[None, :], 1), mask=dims < dim)
    tl.store(target + dim * chunks, tl.sum(weights * to_first[None, :], 1), mask=dims < dim)


@triton.jit
def add_totals(total, ordered_ptr, totals_ptr, base, row, from_item, others, edges, dims, dim, chunks, scale, present):
    """``total [DIM, OTHER]`` with what an item feels of some chunks, whose nearest items are ``edges``."""
    apart = tl.abs(tl.load(ordered_ptr + base + edges) - from_item)
    factor = tl.exp2(-apart * scale * LOG2_E)
    addresses = (row * dim + dims[:, None]) * chunks + others[None, :]
    inside = present[None, :] & (dims[:, None] < dim)
    return total + factor[None, :] * tl.load(totals_ptr + addresses, mask=inside, other=0.0)


@triton.jit(do_not_specialize=_RUNTIME)
def _laplace_product_kernel(
    ordered_ptr,  # [lists, n] float32, descending
    weights_ptr,  # [lists, dim, n] float32
    totals_ptr,  # [lists, 2, dim, chunks] float32
    result_ptr,  # [lists, dim, n] float32
    moments_ptr,  # [lists, dim, n] float32, or None
    dim,
    n,
    chunks,
    scale,
    MOMENTS: tl.constexpr,
    MATRIX: tl.constexpr,
    CHUNK: tl.constexpr,
    OTHER: tl.constexpr,
    DIM: tl.constexpr,
):
    """Products, and what comes from above less what comes from below, of a chunk with DIM of its list's weights."""
    list_index = (tl.program_id(0) // chunks).to(tl.int64)
    chunk = tl.program_id(0) % chunks
    first = chunk * CHUNK
    last = tl.minimum(first + CHUNK, n) - 1
    base = list_index * n
    highest, lowest = tl.load(ordered_ptr + base + first), tl.load(ordered_ptr + base + last)
    if MATRIX:
        total = tl.zeros([CHUNK, DIM], tl.float32)
    else:
        total = tl.zeros([CHUNK, CHUNK, DIM], tl.float32)
    moments = total
    start, stop = chunk, chunk + 1
    if MOMENTS:
        # Equal items are not above each other, so a chunk that shares a value with this one is looked at whole.
        while (start > 0) & (tl.load(ordered_ptr + base + tl.maximum(start * CHUNK - 1, 0)) == highest):
            start -= 1
        while (stop < chunks) & (tl.load(ordered_ptr + base + tl.minimum(stop * CHUNK, n - 1)) == lowest):
            stop += 1
    near = start
    while near < stop:
        total, moments = add(
            total, moments, weights_ptr, ordered_ptr, ordered_ptr, ordered_ptr, base, list_index, first, near * CHUNK,
            tl.program_id(1) * DIM, dim, n, scale, LAPLACE, False, MOMENTS, MATRIX, CHUNK, CHUNK, DIM,
        )  # fmt: skip
        near += 1
    if not MATRIX:
        total = tl.sum(total, 1)
        moments = tl.sum(moments, 1)

    dims = tl.program_id(1) * DIM + tl.arange(0, DIM)
    above = tl.zeros([DIM, OTHER], tl.float32)
    end = start
    while (end > 0) & ((tl.load(ordered_ptr + base + tl.maximum(end * CHUNK - 1, 0)) - highest) * scale <= NOTHING):
        others = end - 1 - tl.arange(0, OTHER)
        edges = tl.maximum(others * CHUNK + CHUNK - 1, 0)
        above = add_totals(
            above, ordered_ptr, totals_ptr, base, 2 * list_index, highest, others, edges, dims, dim, chunks, scale,
            others >= 0,
        )  # fmt: skip
        end -= OTHER
    below = tl.zeros([DIM, OTHER], tl.float32)
    begin = stop
    while (begin < chunks) & (
        (lowest - tl.load(ordered_ptr + base + tl.minimum(begin * CHUNK, n - 1))) * scale <= NOTHING
    ):
        others = begin + tl.arange(0, OTHER)
        edges = tl.minimum(others * CHUNK, n - 1)
        below = add_totals(
            below, ordered_ptr, totals_ptr, base, 2 * list_index + 1, lowest, others, edges, dims, dim, chunks, scale,
            others < chunks,
        )  # fmt: skip
        begin += OTHER

    own = first + tl.arange(0, CHUNK)
    values = tl.load(ordered_ptr + base + tl.minimum(own, last))
    from_above = tl.exp2((values - highest) * scale * LOG2_E)[:, None] * tl.sum(above, 1)[None, :]
    from_below = tl.exp2((lowest - values) * scale * LOG2_E)[:, None] * tl.sum(below, 1)[None, :]
    places = (list_index * dim + dims[None, :]) * n + own[:, None]
    inside = (own[:, None] < n) & (dims[None, :] < dim)
    tl.store(result_ptr + places, total + from_above + from_below, mask=inside)
    if MOMENTS:
        tl.store(moments_ptr + places, moments + from_above - from_below, mask=inside)
