"""Orders that repeat."""

from __future__ import annotations

import torch
from torch import Tensor


def stable_order(keys: Tensor, *, descending: bool = False) -> Tensor:
    """Where each place's item comes from when the last axis is sorted, among equals by place; int64.

    Example:
        >>> stable_order(torch.tensor([1.0, 3.0, 3.0, 2.0]), descending=True)
        tensor([1, 2, 3, 0])
    """
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        # ONNX has no sort by that name; what it sorts with keeps equals in place, but knows no small integers.
        keys = keys if keys.is_floating_point() else keys.int()
        return keys.argsort(dim=-1, descending=descending)
    return keys.argsort(dim=-1, descending=descending, stable=True)
