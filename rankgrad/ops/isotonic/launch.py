"""From lists to kernel launches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of

# A list is held in registers; longer ones would spill.
LONGEST = 2048


def blocks(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool) -> Tensor:
    """First item and end of each item's block, ``[2, lists, items]`` int32."""
    from rankgrad.ops.isotonic import kernels

    kernel: Any = kernels._isotonic_blocks_kernel
    lists, n = numerators.shape
    result = torch.empty((2, lists, n), dtype=torch.int32, device=numerators.device)
    if lists and n:
        levels = (n - 1).bit_length()
        on_device_of(numerators, kernel, (lists,))(
            numerators.float().contiguous(),
            None if weights is None else weights.float().contiguous(),
            result,
            lists,
            n,
            WEIGHTED=weights is not None,
            LOGARITHMIC=logarithmic,
            LEVELS=levels,
            BLOCK=1 << levels,
            num_warps=_warps(1 << levels),
        )
    return result


def block_sum(x: Tensor, blocks: Tensor) -> Tensor:
    """At every item the sum of ``x`` over its block."""
    from rankgrad.ops.isotonic import kernels

    kernel: Any = kernels._isotonic_block_sum_kernel
    lists, n = x.shape
    result = torch.empty((lists, n), dtype=torch.float32, device=x.device)
    if lists and n:
        block = 1 << (n - 1).bit_length()
        on_device_of(x, kernel, (lists,))(
            x.float().contiguous(), blocks, result, lists, n, BLOCK=block, num_warps=_warps(block)
        )
    return result


def _warps(block: int) -> int:
    """Eight items a thread; both are powers of two."""
    return max(1, min(16, block // 256))
