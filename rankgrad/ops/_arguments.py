"""Checks and the accumulation rule shared by operators, metrics and losses."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from rankgrad._checks import InputError


def accumulation_dtype(**tensors: Tensor) -> torch.dtype:
    """float64 when an operand is float64, else float32: what sums are held in and results come back as.

    Raises:
        TypeError: when an operand is not floating point.

    Example:
        >>> accumulation_dtype(scores=torch.zeros(2, dtype=torch.float16))
        torch.float32
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected a floating-point tensor, got {tensor.dtype}; convert it with .float()")
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors.values()) else torch.float32


def accumulate(x: Tensor, name: str) -> Tensor:
    """``x`` in its accumulation dtype; the gradient comes back in the dtype of ``x``."""
    return x.to(accumulation_dtype(**{name: x}))


def as_lists(x: Tensor) -> Tensor:
    """``[lists, items]``, whatever the leading axes, also where nothing is in a list.

    Example:
        >>> as_lists(torch.zeros(5)).shape, as_lists(torch.zeros(2, 3, 0)).shape
        (torch.Size([1, 5]), torch.Size([6, 0]))
    """
    return x.unsqueeze(0).flatten(0, -2)


def as_rows(matrix: Tensor) -> Tensor:
    """The matrix with neighbours of a row side by side, as kernels read it; a copy only where it must be."""
    return matrix if matrix.stride(-1) == 1 else matrix.contiguous()


def as_bytes(mask: Tensor | None) -> Tensor | None:
    """A mask as kernels read it."""
    return None if mask is None else mask.contiguous().view(torch.uint8)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast does not lower matrix products, and nothing at all where autocast is off."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def check_mask(mask: Tensor, shape: torch.Size, name: str = "mask") -> None:
    """Refuse a mask that is not bool or not of ``shape``.

    Example:
        >>> check_mask(torch.ones(2, 3), torch.Size([2, 3]))
        Traceback (most recent call last):
        ...
        TypeError: mask: expected bool (True = a real item), got torch.float32; convert it with .bool()
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"{name}: expected bool (True = a real item), got {mask.dtype}; convert it with .bool()")
    if mask.shape != shape:
        raise InputError(f"{name}: expected shape {list(shape)}, got {list(mask.shape)}")


def check_device(tensor: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Refuse a tensor that is not where another is; a number alone may come from anywhere.

    Example:
        >>> check_device(torch.ones(3), "mask", torch.ones(3, device="meta"), "scores")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: mask: expected on meta, where scores are, got it on cpu; move it with .to("meta")
    """
    if tensor.device != other.device and tensor.dim():
        wanted = f"expected on {other.device}, where {other_name} {'are' if other_name.endswith('s') else 'is'}"
        raise InputError(f'{name}: {wanted}, got it on {tensor.device}; move it with .to("{other.device}")')


def real_items(x: Tensor, mask: Tensor | None, name: str = "scores") -> Tensor:
    """The mask of ``x``, all True when none is given.

    Raises:
        InputError: for a tensor without an item axis, a mask of another shape or one that is elsewhere.
        TypeError: for a mask that is not bool.
    """
    if x.dim() == 0:
        raise InputError(f"{name}: expected items on the last axis, got a tensor without axes; add one with [None]")
    if mask is None:
        return torch.ones_like(x, dtype=torch.bool)
    check_mask(mask, x.shape)
    check_device(mask, "mask", x, name)
    return mask


def check_positive(value: float, name: str) -> None:
    """Refuse zero, a negative number, infinity and NaN.

    Example:
        >>> check_positive(0.0, "temperature")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: temperature: expected a number above 0, got 0.0
    """
    if not value > 0:
        raise InputError(f"{name}: expected a number above 0, got {value}")
    if value == math.inf:
        raise InputError(f"{name}: expected a finite number, got {value}")
