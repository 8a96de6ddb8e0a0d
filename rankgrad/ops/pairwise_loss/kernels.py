"""Losses of pairs and their gradient: a tile of items meets its whole list, tile by tile, and owns its results."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

_RUNTIME = ["lists", "items", "item_tiles", "k"]


@triton.jit
def load_items(x_ptr, rows, columns, real, items):
    """``[LISTS, ITEMS]`` of lists that lie one behind another, 0 where no real item is."""
    return tl.load(x_ptr + rows * items + columns, mask=real, other=0.0)


@triton.jit
def amount(difference, key, DIFFERENCE: tl.constexpr, EACH: tl.constexpr):
    """What preferring an item weighs, by how far its key is above the other's, or by the key alone."""
    if EACH:
        return key + 0.0 * difference
    elif DIFFERENCE:
        return tl.maximum(difference, 0.0, propagate_nan=tl.PropagateNan.ALL)
    else:
        return tl.where(difference > 0, 1.0, 0.0) + 0.0 * difference


@triton.jit
def log1p_of_exponential(e):
    """``log(1 + e)`` for e from 0 to 1, to the last digits where e is small too."""
    series = e * (1.0 - e * (0.5 - e * (0.33333334 - e * 0.25)))
    return tl.where(e < 0.01, series, tl.log(1.0 + e))


@triton.jit(do_not_specialize=_RUNTIME)
def _pairwise_loss_kernel(
    scores_ptr,  # [lists, items] float32, highest first, real items first
    keys_ptr,  # [lists, items] float32
    weights_ptr,  # [lists, items] float32
    counts_ptr,  # [lists] int32, of real items
    discounts_ptr,  # [items] float32, of places
    gaps_ptr,  # [items] float32, of distances of places
    values_ptr,  # [lists, items] float32
    slopes_ptr,  # [lists, items] float32
    lists,
    items,
    item_tiles,
    margin,
    k,
    HINGE: tl.constexpr,
    DIFFERENCE: tl.constexpr,
    EACH: tl.constexpr,
    PLACES: tl.constexpr,
    WEIGHTED: tl.constexpr,
    LISTS: tl.constexpr,
    ITEMS: tl.constexpr,
):
    """Of ITEMS items of each of LISTS lists: the costs of the pairs that prefer them, and their scores' slopes."""
    rows = (tl.program_id(0) // item_tiles).to(tl.int64) * LISTS + tl.arange(0, LISTS)[:, None]
    exists = rows < lists
    columns = tl.program_id(0) % item_tiles * ITEMS + tl.arange(0, ITEMS)[None, :]
    count = tl.load(counts_ptr + rows, mask=exists, other=0)
    real = columns < count
    own = load_items(scores_ptr, rows, columns, real, items)
    own_key = load_items(keys_ptr, rows, columns, real, items)
    if PLACES:
        own_discount = tl.load(discounts_ptr + columns, mask=columns < items, other=0.0)
    if WEIGHTED:
        own_weight = load_items(weights_ptr, rows, columns, real, items)
    value = tl.zeros([LISTS, ITEMS, ITEMS], tl.float32)
    slope = tl.zeros([LISTS, ITEMS, ITEMS], tl.float32)
    for first in range(0, items, ITEMS):
        others = first + tl.arange(0, ITEMS)[None, :]
        present = others < count
        other = load_items(scores_ptr, rows, others, present, items)
        other_key = load_items(keys_ptr, rows, others, present, items)
        preferred = own_key[:, :, None] - other_key[:, None, :]
        right = amount(preferred, own_key[:, :, None], DIFFERENCE, EACH)
        wrong = amount(-preferred, other_key[:, None, :], DIFFERENCE, EACH)
        if WEIGHTED:
            right = right * own_weight[:, :, None]
            wrong = wrong * load_items(weights_ptr, rows, others, present, items)[:, None, :]
        apart = tl.abs(columns[:, :, None] - others[:, None, :])
        if PLACES:
            discount = tl.load(discounts_ptr + others, mask=others < items, other=0.0)
            weight = tl.abs(own_discount[:, :, None] - discount[:, None, :])
            weight += tl.load(gaps_ptr + apart, mask=apart < items, other=0.0)
            right = right * weight
            wrong = wrong * weight
        difference = own[:, :, None] - other[:, None, :]
        if HINGE:
            cost = tl.maximum(margin - difference, 0.0)
            pull = wrong * tl.where(margin + difference > 0, 1.0, 0.0) - right * tl.where(cost > 0, 1.0, 0.0)
        else:
            e = tl.exp(-tl.abs(difference))
            cost = log1p_of_exponential(e) + tl.maximum(-difference, 0.0)
            near = 1.0 / (1.0 + e)
            far = e * near
            # Of both sigmoids of a pair neither is 1 minus the other, which would lose its digits.
            pull = tl.where(difference > 0, wrong * near - right * far, wrong * far - right * near)
        within = tl.minimum(columns[:, :, None], others[:, None, :]) < k
        counted = real[:, :, None] & present[:, None, :] & (apart > 0) & within
        value += tl.where(counted, right * cost, 0.0)
        slope += tl.where(counted, pull, 0.0)
    kept = exists & (columns < items)
    tl.store(values_ptr + rows * items + columns, tl.sum(value, 2), mask=kept)
    tl.store(slopes_ptr + rows * items + columns, tl.sum(slope, 2), mask=kept)
