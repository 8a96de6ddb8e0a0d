"""The kernel that sorts lists; ``laplace_launches.py``, whose kernel sorts the same way, builds it."""

from __future__ import annotations

from typing import Any

import torch
from ahead_of_time import Launch, Recorder

from rankgrad.ops.sorted_order import kernels, launch

# name: (lists, items, dtype, masked, ranks)
VARIANTS: dict[str, tuple[int, int, torch.dtype, bool, bool]] = {
    "longest": (1024, 2048, torch.float32, True, False),
    "half, ranks": (8192, 100, torch.float16, True, True),
}


def launches(lists: int, items: int, dtype: torch.dtype, masked: bool, ranks: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    kernel: Any = kernels._sorted_order_kernel
    kernels._sorted_order_kernel = Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found)  # pyright: ignore[reportAttributeAccessIssue]
    with torch.device("meta"):
        x = torch.empty(lists, items, dtype=dtype)
        mask = torch.empty(lists, items, dtype=torch.bool) if masked else None
    (launch.ranks if ranks else launch.sorted_lists)(x, mask, descending=not ranks)
    return found
