"""From lists to kernel launches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of
from rankgrad.ops.relaxed_permutation.positions import REACH, positions

_KINDS = ("laplace", "square", "neuralsort")
# So many sums a program keeps in registers where it multiplies no matrices.
_SUMS = 1 << 11


def sizes(dim: int, *, moments: bool) -> dict[str, Any]:
    """Tiles: of few weights a place every column keeps its own sum, of many a matrix product adds them.

    Example:
        >>> sizes(2, moments=True)
        {'MATRIX': False, 'OWN': 32, 'OTHER': 16, 'DIM': 2, 'num_warps': 4}
        >>> sizes(40, moments=False)
        {'MATRIX': True, 'OWN': 32, 'OTHER': 32, 'DIM': 32, 'num_warps': 4}
    """
    wide = 1 << (dim - 1).bit_length()
    if wide > 4:
        return {"MATRIX": True, "OWN": 32, "OTHER": 32, "DIM": min(max(wide, 16), 32), "num_warps": 4}
    other = min(64, _SUMS // (32 * wide * (1 + moments)))
    return {"MATRIX": False, "OWN": 32, "OTHER": other, "DIM": wide, "num_warps": 4}


def multiply(
    ordered: Tensor, weights: Tensor, temperature: float, kind: str, *, transpose: bool, moments: bool
) -> tuple[Tensor, Tensor | None]:
    """See ``products.multiply``; everything is float32, the positions of NeuralSort float64."""
    ordered, weights = ordered.contiguous(), weights.contiguous()
    result = torch.empty_like(weights)
    moment = torch.empty_like(weights) if moments else None
    if not weights.numel():
        return result, moment
    if kind == "laplace":
        _laplace(ordered, weights, temperature, result, moment)
    else:
        _tiled(ordered, weights, temperature, kind, result, moment, transpose=transpose and kind == "neuralsort")
    return result, moment


def _tiled(
    ordered: Tensor,
    weights: Tensor,
    temperature: float,
    kind: str,
    result: Tensor,
    moment: Tensor | None,
    *,
    transpose: bool,
) -> None:
    from rankgrad.ops.relaxed_permutation import kernels

    kernel: Any = kernels._relaxed_permutation_product_kernel
    lists, dim, n = weights.shape
    found = positions(ordered, temperature, square=False) if kind == "neuralsort" else None
    tiles = sizes(dim, moments=moment is not None)
    own_tiles = -(-n // tiles["OWN"])
    on_device_of(weights, kernel, (lists * own_tiles, -(-dim // tiles["DIM"])))(
        ordered,
        None if found is None else found.values.contiguous(),
        None if found is None else found.heights,
        weights,
        result,
        moment,
        dim,
        n,
        own_tiles,
        1 / (math.sqrt(temperature) if kind == "square" else temperature),
        REACH[torch.float32],
        KIND=_KINDS.index(kind),
        TRANSPOSE=transpose,
        MOMENTS=moment is not None,
        **tiles,
    )


def _laplace(ordered: Tensor, weights: Tensor, temperature: float, result: Tensor, moment: Tensor | None) -> None:
    from rankgrad.ops.relaxed_permutation import laplace_kernels

    total_kernel: Any = laplace_kernels._laplace_total_kernel
    product_kernel: Any = laplace_kernels._laplace_product_kernel
    lists, dim, n = weights.shape
    tiles = sizes(dim, moments=moment is not None)
    tiles["CHUNK"], tiles["OTHER"] = tiles.pop("OWN"), 16
    chunks = -(-n // tiles["CHUNK"])
    grid = (lists * chunks, -(-dim // tiles["DIM"]))
    totals = weights.new_empty((lists, 2, dim, chunks))
    if chunks > 1:
        constants = {name: tiles[name] for name in ("CHUNK", "DIM", "num_warps")}
        on_device_of(weights, total_kernel, grid)(
            ordered, weights, totals, dim, n, chunks, 1 / temperature, **constants
        )
    on_device_of(weights, product_kernel, grid)(
        ordered, weights, totals, result, moment, dim, n, chunks, 1 / temperature, MOMENTS=moment is not None, **tiles
    )
