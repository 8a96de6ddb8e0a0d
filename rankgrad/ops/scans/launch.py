"""From lists to kernel launches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of

_LONGEST_BLOCK = 2048


def forward(x: Tensor) -> Tensor:
    """Logarithms of sums of exponentials from each item to the end, ``[lists, n]`` float32."""
    from rankgrad.ops.scans import kernels

    kernel: Any = kernels._reverse_logcumsumexp_forward_kernel
    x = x.contiguous()
    sums = torch.empty_like(x, dtype=torch.float32)
    on_device_of(x, kernel, (len(x),))(x, sums, **_sizes(x.shape[1]))
    return sums


def backward(x: Tensor, sums: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of x, in its dtype."""
    from rankgrad.ops.scans import kernels

    kernel: Any = kernels._reverse_logcumsumexp_backward_kernel
    x = x.contiguous()
    result = torch.empty_like(x)
    on_device_of(x, kernel, (len(x),))(x, sums, upstream.float().contiguous(), result, **_sizes(x.shape[1]))
    return result


def _sizes(n: int) -> dict[str, int]:
    block = min(_LONGEST_BLOCK, max(16, 1 << (n - 1).bit_length()))
    # Eight items a thread; both are powers of two.
    return {"n": n, "blocks": -(-n // block), "BLOCK": block, "num_warps": max(1, block // 256)}
