"""Orders that repeat."""

from __future__ import annotations

import numpy as np
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
    keys = keys.detach()
    # NaN stands above all numbers with whichever sign it came, which bits do not know; with one the sum is one too.
    if keys.dtype == torch.float32 and keys.dim() and readable(keys) and not bool(keys.sum().isnan()):
        return _by_bits(keys, descending=descending)
    return keys.argsort(dim=-1, descending=descending, stable=True)


def readable(x: Tensor) -> bool:
    """Do the numbers of ``x`` lie in this process' memory: on the CPU, not fake, not traced, not under a transform?"""
    if x.device.type != "cpu" or type(x) not in (Tensor, torch.nn.Parameter) or torch.compiler.is_compiling():
        return False
    return not (torch.onnx.is_in_onnx_export() or torch._C._functorch.is_functorch_wrapped_tensor(x))  # type: ignore[attr-defined]


def _by_bits(keys: Tensor, *, descending: bool) -> Tensor:
    """Sort one integer an item, its value's bits above its place, which numpy does in a fraction of torch's time."""
    values, zero = keys.numpy(), np.float32(0)
    # Adding 0 makes one zero of two. As integers negative numbers fall where they rise, until they are turned round.
    bits = (zero - values if descending else zero + values).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    packed = bits.astype(np.int64)
    packed <<= 32
    packed |= np.arange(keys.shape[-1])
    packed.sort(axis=-1)
    packed &= 0xFFFFFFFF
    return torch.from_numpy(packed)
