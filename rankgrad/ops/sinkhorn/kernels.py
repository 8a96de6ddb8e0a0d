"""Triton kernel of the product with a matrix of exponentials; a program owns some rows of one list."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

LOWEST = tl.constexpr(-float("inf"))
LOG2E = tl.constexpr(1.4426950408889634)
_RUNTIME = ["lists", "items", "width", "row_tiles"]


@triton.jit
def _times(matrix, weights, PRODUCTS: tl.constexpr):
    """Their matrix product, by matrix instructions or, for a few columns, by sums."""
    if PRODUCTS:
        return tl.dot(matrix, weights, input_precision="ieee")
    else:
        return tl.sum(matrix[:, :, None] * weights[None, :, :], 1)


@triton.jit(do_not_specialize=_RUNTIME)
def _transport_product_kernel(
    own_ptr,  # [lists, items] float64
    other_ptr,  # [lists, items] float64
    own_shift_ptr,  # [lists, items] float64
    other_shift_ptr,  # [lists, items] float64
    weights_ptr,  # [lists, items, width] float32
    result_ptr,  # [lists, items, width] float32, or twice as wide with MOMENTS
    lists,
    items,
    width,
    row_tiles,
    slack,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
    PRODUCTS: tl.constexpr,
    MOMENTS: tl.constexpr,
):
    """``sum_c exp(own_r other_c + own_shift_r + other_shift_c) weights_c`` for ROWS rows and WIDTH of the width.

    With MOMENTS also the sum in which each term counts ``other_c - other_r`` times.
    """
    base = (tl.program_id(0) // row_tiles).to(tl.int64) * items
    first = tl.program_id(0) % row_tiles * ROWS
    rows = first + tl.arange(0, ROWS)
    features = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    own = tl.load(own_ptr + base + rows, mask=rows < items, other=0.0)
    own_shift = tl.load(own_shift_ptr + base + rows, mask=rows < items, other=LOWEST)
    # Right of these rows the last real one is the nearest to the diagonal, left of them the first.
    last = first + tl.maximum(tl.sum((own_shift != LOWEST).to(tl.int32), 0), 1) - 1
    first_own, first_shift = tl.load(own_ptr + base + first), tl.load(own_shift_ptr + base + first)
    last_own, last_shift = tl.load(own_ptr + base + last), tl.load(own_shift_ptr + base + last)
    first_least = first_own * tl.load(other_ptr + base + first) + first_shift
    first_least = tl.minimum(first_least + tl.load(other_shift_ptr + base + first), 0.0) - slack
    last_least = last_own * tl.load(other_ptr + base + last) + last_shift
    last_least = tl.minimum(last_least + tl.load(other_shift_ptr + base + last), 0.0) - slack
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    if MOMENTS:
        at_rows = tl.load(other_ptr + base + rows, mask=rows < items, other=0.0)
        moments = tl.zeros([ROWS, WIDTH], tl.float32)
    for start in range(0, items, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        here = columns < items
        other = tl.load(other_ptr + base + columns, mask=here, other=0.0)
        other_shift = tl.load(other_shift_ptr + base + columns, mask=here, other=LOWEST)
        seen = first_own * other + first_shift + other_shift > first_least
        seen = seen | (last_own * other + last_shift + other_shift > last_least)
        seen = seen | ((columns >= first) & (columns < first + ROWS))
        # Far from the diagonal all exponentials are lost beside the sum.
        if tl.max(seen.to(tl.int32), 0) > 0:
            # Products of points and shifts are large and cancel, so they are added up in float64.
            exponents = own[:, None] * other[None, :] + own_shift[:, None] + other_shift[None, :]
            exponentials = tl.exp2(exponents.to(tl.float32) * LOG2E)
            weights = tl.load(
                weights_ptr + (base + columns[:, None]) * width + features[None, :],
                mask=here[:, None] & (features[None, :] < width),
                other=0.0,
            )
            total += _times(exponentials, weights, PRODUCTS)
            if MOMENTS:
                exponentials *= (other[None, :] - at_rows[:, None]).to(tl.float32)
                moments += _times(exponentials, weights, PRODUCTS)
    stride = 2 * width if MOMENTS else width
    places = result_ptr + (base + rows[:, None]) * stride + features[None, :]
    kept = (rows[:, None] < items) & (features[None, :] < width)
    tl.store(places, total, mask=kept)
    if MOMENTS:
        tl.store(places + width, moments, mask=kept)
