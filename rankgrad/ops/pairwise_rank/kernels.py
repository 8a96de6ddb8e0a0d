"""Sigmoid ranks and their gradient: a tile of items meets its whole list, tile by tile, and owns its results."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

LOWEST = tl.constexpr(-float("inf"))
_RUNTIME = ["stride_list", "lists", "items", "item_tiles"]


@triton.jit
def place(lists, item_tiles, LISTS: tl.constexpr, ITEMS: tl.constexpr):
    """This program's lists ``[LISTS, 1]``, whether each exists, and its items ``[1, ITEMS]``."""
    first = (tl.program_id(0) // item_tiles).to(tl.int64) * LISTS
    rows = first + tl.arange(0, LISTS)[:, None]
    items = tl.program_id(0) % item_tiles * ITEMS + tl.arange(0, ITEMS)[None, :]
    return rows, rows < lists, items


@triton.jit
def load_items(
    values_ptr,  # [lists, items]
    mask_ptr,  # [lists, items]
    rows,
    columns,
    exists,
    stride_list,
    items,
    limit,
    absent,
    MASKED: tl.constexpr,
):
    """Values cut to what is finite, ``absent`` where no real item is, and which are real."""
    real = exists & (columns < items)
    if MASKED:
        real = real & (tl.load(mask_ptr + rows * items + columns, mask=real, other=0) != 0)
    values = tl.load(values_ptr + rows * stride_list + columns, mask=real, other=0.0).to(tl.float32)
    values = tl.minimum(values, limit, propagate_nan=tl.PropagateNan.ALL)
    values = tl.maximum(values, -limit, propagate_nan=tl.PropagateNan.ALL)
    return tl.where(real, values, absent), real


@triton.jit(do_not_specialize=_RUNTIME)
def _pairwise_rank_forward_kernel(
    values_ptr,  # [lists, items]
    mask_ptr,  # [lists, items]
    ranks_ptr,  # [lists, items] float32
    stride_list,
    lists,
    items,
    item_tiles,
    scale,
    limit,
    MASKED: tl.constexpr,
    LISTS: tl.constexpr,
    ITEMS: tl.constexpr,
):
    """Ranks of ITEMS items of each of LISTS lists; ``scale`` is log2(e) / temperature."""
    rows, exists, columns = place(lists, item_tiles, LISTS, ITEMS)
    own, real = load_items(values_ptr, mask_ptr, rows, columns, exists, stride_list, items, limit, 0.0, MASKED)
    # A column of the tile keeps its own sum over the list; columns are added once, at the end.
    total = tl.zeros([LISTS, ITEMS, ITEMS], tl.float32)
    for first in range(0, items, ITEMS):
        others = first + tl.arange(0, ITEMS)[None, :]
        other, _ = load_items(values_ptr, mask_ptr, rows, others, exists, stride_list, items, limit, LOWEST, MASKED)
        total += 1.0 / (1.0 + tl.exp2((own[:, :, None] - other[:, None, :]) * scale))
    result = tl.where(real, tl.sum(total, 2) + 0.5, 0.0)
    tl.store(ranks_ptr + rows * items + columns, result, mask=exists & (columns < items))


@triton.jit(do_not_specialize=_RUNTIME)
def _pairwise_rank_backward_kernel(
    values_ptr,  # [lists, items]
    mask_ptr,  # [lists, items]
    gradients_ptr,  # [lists, items] float32
    result_ptr,  # [lists, items]
    stride_list,
    lists,
    items,
    item_tiles,
    scale,
    limit,
    inverse,
    MASKED: tl.constexpr,
    LISTS: tl.constexpr,
    ITEMS: tl.constexpr,
):
    """Gradients of the values of ITEMS items of each of LISTS lists; ``inverse`` is 1 / temperature."""
    rows, exists, columns = place(lists, item_tiles, LISTS, ITEMS)
    own, real = load_items(values_ptr, mask_ptr, rows, columns, exists, stride_list, items, limit, 0.0, MASKED)
    upstream = tl.load(gradients_ptr + rows * items + columns, mask=real, other=0.0)
    total = tl.zeros([LISTS, ITEMS, ITEMS], tl.float32)
    for first in range(0, items, ITEMS):
        others = first + tl.arange(0, ITEMS)[None, :]
        other, present = load_items(
            values_ptr, mask_ptr, rows, others, exists, stride_list, items, limit, LOWEST, MASKED
        )
        received = tl.load(gradients_ptr + rows * items + others, mask=present, other=0.0)
        # Of both sigmoids of a pair the smaller one: 1 - sigmoid of the larger would lose its digits.
        share = 1.0 / (1.0 + tl.exp2(tl.abs(own[:, :, None] - other[:, None, :]) * scale))
        total += share * (1.0 - share) * (received[:, None, :] - upstream[:, :, None])
    value = tl.load(values_ptr + rows * stride_list + columns, mask=real, other=0.0).to(tl.float32)
    result = tl.sum(total, 2) * inverse
    result = tl.where(real & ~(tl.abs(value) > limit), result, 0.0)
    tl.store(result_ptr + rows * items + columns, result, mask=exists & (columns < items))
