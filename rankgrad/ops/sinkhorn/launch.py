"""From lists to kernel launches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of

# Exponents so far below the diagonal are left out: lost beside a sum, which is at least 1 / n.
_NOTHING = -40.0


def product(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool) -> Tensor:
    """The plan, or its transpose, times the weights, ``[lists, n, d]`` in float32."""
    columns = columns - places * points
    if transpose:
        return _launch((points, places, columns, rows), weights, moments=False)
    return _launch((places, points, rows, columns), weights, moments=False)


def moments(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor) -> Tensor:
    """The transposed plan times the weights, and the same of its derivative by the points, ``[lists, n, 2 d]``."""
    return _launch((points, places, columns - places * points, rows), weights, moments=True)


def _launch(vectors: tuple[Tensor, ...], weights: Tensor, *, moments: bool) -> Tensor:
    from rankgrad.ops.sinkhorn import kernels

    kernel: Any = kernels._transport_product_kernel
    lists, items, width = weights.shape
    result = torch.empty((lists, items, (1 + moments) * width), dtype=torch.float32, device=weights.device)
    if not result.numel():
        return result
    rows, constants = tiles(items, width, moments)
    row_tiles = -(-items // rows)
    grid = (lists * row_tiles, -(-width // constants["WIDTH"]))
    on_device_of(weights, kernel, grid)(
        *(vector.contiguous() for vector in vectors),
        weights.contiguous(),
        result,
        lists,
        items,
        width,
        row_tiles,
        math.log(items) - _NOTHING,
        ROWS=rows,
        MOMENTS=moments,
        **constants,
    )
    return result


def tiles(items: int, width: int, moments: bool) -> tuple[int, dict[str, Any]]:
    """Rows of a program, and what its kernel is compiled for: one number an item, a few, or vectors.

    Example:
        >>> tiles(1000, 1, False)[1]["PRODUCTS"], tiles(1000, 64, False)[1]["PRODUCTS"]
        (False, True)
    """
    if width <= 4:
        wide = 1 if width == 1 else 2 if width == 2 else 4
        side = 16 if items <= 16 else 32
        return side, {"COLUMNS": side * 2 // wide, "WIDTH": wide, "PRODUCTS": False, "num_warps": 4}
    # Two sums a row would not fit into the registers at full width.
    wide = 16 if width <= 16 else 32 if width <= 32 or moments else 64
    return 32, {"COLUMNS": 32, "WIDTH": wide, "PRODUCTS": True, "num_warps": 4}
