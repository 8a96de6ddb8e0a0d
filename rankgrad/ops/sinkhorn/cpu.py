"""The product on a CPU: tiles near the diagonal, the rest of the matrix is zero.

``docs/ops/sinkhorn.md`` derives it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rankgrad.ops._arguments import full_precision

_ROWS = 32
_TILE_ELEMENTS = 1 << 17
# What exponents below are left out: their exponentials are lost beside a sum, which is at least 1 / n.
_NOTHING = {torch.float32: -40.0, torch.float64: -80.0}


def product(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool) -> Tensor:
    """The plan, or its transpose, times the weights, ``[lists, n, d]``."""
    columns = columns - places * points
    vectors = (points, places, columns, rows) if transpose else (places, points, rows, columns)
    result = torch.zeros_like(weights, memory_format=torch.contiguous_format)
    for some, near, far, tile in _tiles(*vectors, weights.dtype):
        result[some, near] += torch.bmm(tile, weights[some, far])
    return result


def moments(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """The transposed plan times the weights, and the same of its derivative by the points, ``[lists, n, 2 d]``."""
    columns = columns - places * points
    width = weights.shape[-1]
    result = weights.new_zeros((*weights.shape[:-1], 2 * width))
    for some, near, far, tile in _tiles(points, places, columns, rows, weights.dtype):
        weights_there = weights[some, far]
        result[some, near, :width] += torch.bmm(tile, weights_there)
        apart = places[some, None, far] - places[some, near, None]
        result[some, near, width:] += torch.bmm(tile.mul_(apart.to(tile.dtype)), weights_there)
    return result


def _tiles(
    own: Tensor, other: Tensor, own_shift: Tensor, other_shift: Tensor, dtype: torch.dtype
) -> Iterator[tuple[slice, slice, slice, Tensor]]:
    """The exponentials ``exp(own_r other_c + own_shift_r + other_shift_c)`` that are not lost, tile by tile.

    Yields:
        Which lists, rows and columns, and the tile.
    """
    count, n = own.shape
    if not own.numel():
        return
    step = max(1, min(count, _TILE_ELEMENTS // min(_ROWS, n) ** 2))
    with full_precision(own.device):
        for start in range(0, count, step):
            some = slice(start, min(start + step, count))
            vectors = own[some], other[some], own_shift[some], other_shift[some]
            for rows, columns, tile in _tiles_of(*vectors, dtype):
                yield some, rows, columns, tile


def _tiles_of(
    own: Tensor, other: Tensor, own_shift: Tensor, other_shift: Tensor, dtype: torch.dtype
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The exponentials ``[lists, rows, columns]`` that are not lost, some rows at a time."""
    count, n = own.shape
    height = min(_ROWS, n)
    width = min(n, max(_ROWS, _TILE_ELEMENTS // (count * height)))
    exact = own.new_empty(count * height * width)
    rounded = exact if dtype == exact.dtype else own.new_empty(len(exact), dtype=dtype)
    real = own_shift.isfinite().sum(dim=1, keepdim=True)
    for first in range(0, n, height):
        rows = slice(first, min(first + height, n))
        low, high = _band((own, other, own_shift, other_shift), real, rows, _NOTHING[dtype])
        for start in range(low, high, width):
            columns = slice(start, min(start + width, high))
            shape = (count, rows.stop - first, columns.stop - start)
            size = torch.Size(shape).numel()
            tile, result = exact[:size].view(shape), rounded[:size].view(shape)
            # Products of points and shifts are large and cancel, so they are added up in float64.
            torch.add(own_shift[:, rows, None], other_shift[:, None, columns], out=tile)
            tile.addcmul_(own[:, rows, None], other[:, None, columns])
            yield rows, columns, result.copy_(tile).exp_()


def _band(vectors: tuple[Tensor, ...], real: Tensor, rows: slice, nothing: float) -> tuple[int, int]:
    """The columns in which an exponential of some rows is not lost; none where no row is real."""
    own, other, own_shift, other_shift = vectors
    n = own.shape[1]
    here = (real > rows.start).squeeze(1)
    if not here.any():
        return 0, 0
    low, high = rows.start, rows.stop
    slack = math.log(n) - nothing
    # Right of these rows the last of them is the nearest to the diagonal, left of them the first.
    for nearest in (real.clamp(max=rows.stop).sub(1).clamp(min=0), torch.full_like(real, rows.start)):
        exponents = own.gather(1, nearest) * other + own_shift.gather(1, nearest) + other_shift
        seen = (exponents > exponents.gather(1, nearest).clamp(max=0.0) - slack) & here.unsqueeze(1)
        places = seen.any(dim=0).nonzero()
        if len(places):
            low, high = min(low, int(places[0])), max(high, int(places[-1]) + 1)
    return low, high
