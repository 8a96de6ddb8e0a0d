"""From lists to kernel launches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import as_bytes, as_rows
from rankgrad.ops._launch import on_device_of
from rankgrad.ops.pairwise_rank.reference import bound

_TILE_ELEMENTS = 1 << 12


def tile_items(items: int) -> int:
    """Items of a tile's side: many, so that loads are few, as long as little of the last tile stands empty.

    Example:
        >>> [tile_items(items) for items in (5, 100, 128, 1000)]
        [16, 16, 64, 64]
    """
    wide = [side for side in (64, 32) if -items % side <= items // 8]
    return wide[0] if wide else 16


def forward(values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """Ranks ``[lists, items]`` in float32, 0 where masked."""
    from rankgrad.ops.pairwise_rank import kernels

    kernel: Any = kernels._pairwise_rank_forward_kernel
    values = as_rows(values)
    ranks = torch.empty_like(values, dtype=torch.float32, memory_format=torch.contiguous_format)
    if values.numel():
        programs, sizes, constants = _sizes(values, mask)
        on_device_of(values, kernel, (programs,))(
            values, as_bytes(mask), ranks, *sizes, math.log2(math.e) / temperature, bound(torch.float32), **constants
        )
    return ranks


def backward(values: Tensor, mask: Tensor | None, temperature: float, gradients: Tensor) -> Tensor:
    """The gradient of the values, in their dtype."""
    from rankgrad.ops.pairwise_rank import kernels

    kernel: Any = kernels._pairwise_rank_backward_kernel
    values = as_rows(values)
    result = torch.empty_like(values, memory_format=torch.contiguous_format)
    if values.numel():
        programs, sizes, constants = _sizes(values, mask)
        on_device_of(values, kernel, (programs,))(
            values,
            as_bytes(mask),
            gradients.float().contiguous(),
            result,
            *sizes,
            math.log2(math.e) / temperature,
            bound(torch.float32),
            1 / temperature,
            **constants,
        )
    return result


def _sizes(values: Tensor, mask: Tensor | None) -> tuple[int, tuple[int, int, int, int], dict[str, Any]]:
    """Programs, sizes known when launching, and those that a kernel is compiled for."""
    lists, items = values.shape
    side = tile_items(items)
    each = _TILE_ELEMENTS // (side * side)
    item_tiles = -(-items // side)
    constants = {"MASKED": mask is not None, "LISTS": each, "ITEMS": side, "num_warps": 4}
    return -(-lists // each) * item_tiles, (values.stride(0), lists, items, item_tiles), constants
