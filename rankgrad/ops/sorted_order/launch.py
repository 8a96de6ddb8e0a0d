"""From lists to kernel launches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import as_bytes, as_rows
from rankgrad.ops._launch import on_device_of

# A list is held in registers.
LONGEST = 2048
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int16, torch.int8, torch.uint8)


def fits(x: Tensor) -> bool:
    """Can a program hold a list, and an integer a value and its place?

    Example:
        >>> fits(torch.zeros(3, 2048)), fits(torch.zeros(3, 2049)), fits(torch.zeros(3, dtype=torch.int64))
        (True, False, False)
    """
    return x.dtype in _DTYPES and 0 < x.shape[-1] <= LONGEST


def sorted_lists(x: Tensor, mask: Tensor | None, *, descending: bool) -> tuple[Tensor, Tensor]:
    """Sorted values and order (int64) of ``[lists, n]``."""
    found = torch.empty_like(x, memory_format=torch.contiguous_format)
    order = torch.empty_like(found, dtype=torch.int64)
    _launch(x, mask, found, order, None, descending=descending)
    return found, order


def ranks(x: Tensor, mask: Tensor | None, *, descending: bool) -> Tensor:
    """Ranks of ``[lists, n]`` in float32."""
    found = torch.empty_like(x, dtype=torch.float32, memory_format=torch.contiguous_format)
    _launch(x, mask, None, None, found, descending=descending)
    return found


def _launch(
    x: Tensor,
    mask: Tensor | None,
    found: Tensor | None,
    order: Tensor | None,
    ranks: Tensor | None,
    *,
    descending: bool,
) -> None:
    from rankgrad.ops.sorted_order import kernels

    kernel: Any = kernels._sorted_order_kernel
    lists, n = x.shape
    if not lists:
        return
    x = as_rows(x)
    block = max(16, 1 << (n - 1).bit_length())
    on_device_of(x, kernel, (lists,))(
        x,
        as_bytes(mask),
        found,
        order,
        ranks,
        x.stride(0),
        n,
        MASKED=mask is not None,
        DESCENDING=descending,
        RANKS=ranks is not None,
        BLOCK=block,
        # Eight items a thread; both are powers of two.
        num_warps=max(1, min(8, block // 256)),
    )
