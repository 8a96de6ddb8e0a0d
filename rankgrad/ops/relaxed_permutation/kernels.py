"""Products with relaxed permutations: a tile of places meets the others, tile by tile, as far as they have weight."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LAPLACE, SQUARE, NEURALSORT = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
# Across this many roots of the temperature nothing has a weight, and squares are finite.
FAR = tl.constexpr(1e3)
GRID = tl.constexpr(32.0)
_RUNTIME = ["dim", "n", "own_tiles"]


@triton.jit
def split(x):
    """A float64 as a multiple of 1/32, which float32 adds without rounding up to 2^19, and the rest."""
    coarse = tl.floor(x * GRID + 0.5) / GRID
    return coarse.to(tl.float32), (x - coarse).to(tl.float32)


@triton.jit
def neuralsort_exponents(values_ptr, heights_ptr, base, rows, columns, centre):
    """``-D`` of rows and columns, seen from a place amid the rows lest differences of far places lose digits."""
    centre_value, centre_height = tl.load(values_ptr + base + centre), tl.load(heights_ptr + base + centre)
    row_apart = tl.load(values_ptr + base + rows) - centre_value
    column_apart = tl.load(values_ptr + base + columns) - centre_value
    row_distance = tl.load(heights_ptr + base + rows) - centre_height + 2.0 * centre * row_apart
    column_distance = tl.load(heights_ptr + base + columns) - centre_height + 2.0 * centre * column_apart
    slope = (2 * (rows - centre)).to(tl.float32)
    row_coarse, row_fine = split(row_distance + slope * row_apart)
    distance_coarse, distance_fine = split(column_distance)
    apart_coarse, apart_fine = split(column_apart)
    coarse = row_coarse - distance_coarse - slope * apart_coarse
    return coarse + (row_fine - distance_fine - slope * apart_fine)


@triton.jit
def tile(
    ordered_ptr,
    values_ptr,
    heights_ptr,
    base,
    own,
    others,
    centre,
    scale,
    KIND: tl.constexpr,
    TRANSPOSE: tl.constexpr,
):
    """Weights ``[OWN, OTHER]`` and what they are multiplied by in moments."""
    if KIND == NEURALSORT:
        if TRANSPOSE:
            exponents = neuralsort_exponents(values_ptr, heights_ptr, base, others, own, centre)
        else:
            exponents = neuralsort_exponents(values_ptr, heights_ptr, base, own, others, centre)
        moment = (own - others).to(tl.float32)
    else:
        above = tl.load(ordered_ptr + base + others) - tl.load(ordered_ptr + base + own)
        if KIND == SQUARE:
            moment = tl.minimum(tl.maximum(above * scale, -FAR), FAR)
            exponents = -moment * moment
        else:
            exponents = -tl.abs(above) * scale
            moment = tl.where(above > 0, 1.0, tl.where(above < 0, -1.0, 0.0))
    return tl.exp2(exponents * LOG2_E), moment


@triton.jit
def within_reach(
    ordered_ptr,
    values_ptr,
    heights_ptr,
    base,
    own,
    other,
    scale,
    reach,
    KIND: tl.constexpr,
    TRANSPOSE: tl.constexpr,
):
    """Do two places have a weight for each other that is worth adding? Not of Laplace, see ``laplace_kernels``."""
    if KIND == NEURALSORT:
        row, column = own, other
        if TRANSPOSE:
            row, column = other, own
        apart = tl.load(values_ptr + base + row) - tl.load(values_ptr + base + column)
        distance = tl.load(heights_ptr + base + column) - tl.load(heights_ptr + base + row) - 2.0 * row * apart
    else:
        apart = (tl.load(ordered_ptr + base + own) - tl.load(ordered_ptr + base + other)) * scale
        distance = apart * apart
    return distance <= reach


@triton.jit
def add(
    total,
    moments,
    weights_ptr,
    ordered_ptr,
    values_ptr,
    heights_ptr,
    base,
    list_index,
    own_first,
    start,
    first_dim,
    dim,
    n,
    scale,
    KIND: tl.constexpr,
    TRANSPOSE: tl.constexpr,
    MOMENTS: tl.constexpr,
    MATRIX: tl.constexpr,
    OWN: tl.constexpr,
    OTHER: tl.constexpr,
    DIM: tl.constexpr,
):
    """The share of the places from ``start`` on."""
    # A place beyond the list repeats its last one; its weight is loaded as 0.
    own = tl.minimum(own_first + tl.arange(0, OWN), n - 1)[:, None]
    others = start + tl.arange(0, OTHER)
    centre = tl.minimum(start + OTHER // 2 if TRANSPOSE else own_first + OWN // 2, n - 1)
    entries, moment = tile(
        ordered_ptr,
        values_ptr,
        heights_ptr,
        base,
        own,
        tl.minimum(others, n - 1)[None, :],
        centre,
        scale,
        KIND,
        TRANSPOSE,
    )
    dims = first_dim + tl.arange(0, DIM)
    places = (list_index * dim + dims[None, :]) * n + others[:, None]
    weights = tl.load(weights_ptr + places, mask=(dims[None, :] < dim) & (others[:, None] < n), other=0.0)
    if MATRIX:
        total += tl.dot(entries, weights, input_precision="ieee")
        if MOMENTS:
            moments += tl.dot(entries * moment, weights, input_precision="ieee")
    else:
        total += entries[:, :, None] * weights[None, :, :]
        if MOMENTS:
            moments += (entries * moment)[:, :, None] * weights[None, :, :]
    return total, moments


@triton.jit(do_not_specialize=_RUNTIME)
def _relaxed_permutation_product_kernel(
    ordered_ptr,  # [lists, n] float32, descending
    values_ptr,  # [lists, n] float64, or None
    heights_ptr,  # [lists, n] float64, or None
    weights_ptr,  # [lists, dim, n] float32
    result_ptr,  # [lists, dim, n] float32
    moments_ptr,  # [lists, dim, n] float32, or None
    dim,
    n,
    own_tiles,
    scale,
    reach,
    KIND: tl.constexpr,
    TRANSPOSE: tl.constexpr,
    MOMENTS: tl.constexpr,
    MATRIX: tl.constexpr,
    OWN: tl.constexpr,
    OTHER: tl.constexpr,
    DIM: tl.constexpr,
):
    """Products, and moments, of OWN places of a list with DIM of its weights; every result has one owner."""
    list_index = (tl.program_id(0) // own_tiles).to(tl.int64)
    own_first = tl.program_id(0) % own_tiles * OWN
    first_dim = tl.program_id(1) * DIM
    own_last = tl.minimum(own_first + OWN, n) - 1
    base = list_index * n
    if MATRIX:
        total = tl.zeros([OWN, DIM], tl.float32)
    else:
        # A column of the tile keeps its own sum over the list; columns are added once, at the end.
        total = tl.zeros([OWN, OTHER, DIM], tl.float32)
    moments = total
    aligned = own_first // OTHER * OTHER
    start = aligned
    going = own_first >= 0
    upwards = own_first < 0
    while going:
        total, moments = add(
            total, moments, weights_ptr, ordered_ptr, values_ptr, heights_ptr, base, list_index, own_first, start,
            first_dim, dim, n, scale, KIND, TRANSPOSE, MOMENTS, MATRIX, OWN, OTHER, DIM,
        )  # fmt: skip
        # Down to the last tile with weight, then from above the own places up to the first.
        below, above = start + OTHER, tl.where(upwards, start, aligned) - OTHER
        near = within_reach(
            ordered_ptr,
            values_ptr,
            heights_ptr,
            base,
            own_last,
            tl.minimum(below, n - 1),
            scale,
            reach,
            KIND,
            TRANSPOSE,
        )
        downwards = (upwards == 0) & (below < n) & ((below <= own_last) | near)
        near = within_reach(
            ordered_ptr, values_ptr, heights_ptr, base, own_first, tl.maximum(above + OTHER - 1, 0), scale, reach, KIND,
            TRANSPOSE,
        )  # fmt: skip
        going = downwards | ((above >= 0) & near)
        start = tl.where(downwards, below, above)
        upwards = downwards == 0
    if not MATRIX:
        total = tl.sum(total, 1)
        moments = tl.sum(moments, 1)
    own = own_first + tl.arange(0, OWN)[:, None]
    dims = first_dim + tl.arange(0, DIM)[None, :]
    places, inside = (list_index * dim + dims) * n + own, (own < n) & (dims < dim)
    tl.store(result_ptr + places, total, mask=inside)
    if MOMENTS:
        tl.store(moments_ptr + places, moments, mask=inside)
