"""Where kernels are launched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def on_device_of(tensor: Tensor, kernel: Any, grid: tuple[int, ...]) -> Callable[..., Any]:
    """``kernel[grid]``, launched where the tensor is.

    Triton launches on CUDA's current device, whatever device its operands are on; there their addresses mean nothing.

    Example:
        >>> on_device_of(torch.ones(1), {(2,): print}, (2,))("launched")
        launched
    """
    start = kernel[grid]
    if not tensor.is_cuda:
        return start

    def launch(*operands: Any, **options: Any) -> Any:
        with torch.cuda.device(tensor.device):
            return start(*operands, **options)

    return launch
