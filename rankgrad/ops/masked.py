"""Reductions over real items only, and what they give where there is none.

A list without a real item gets weight 0 and zero, finite gradient; nothing else in the package decides that.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_device, check_mask, real_items

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def _exclude(x: Tensor, mask: Tensor) -> Tensor:
    """``-inf`` at masked items, 0 throughout a list without a real one (where ``-inf`` would breed NaN)."""
    any_real = mask.any(dim=-1, keepdim=True)
    return x.masked_fill(~mask, float("-inf")).masked_fill(~any_real, 0.0)


def masked_softmax(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the real items of the last axis; 0 at masked items and throughout an all-masked list.

    Args:
        x: logits.
        mask: True = a real item.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Example:
        >>> masked_softmax(torch.tensor([1.0, 1.0, 9.0]), torch.tensor([True, True, False]))
        tensor([0.5000, 0.5000, 0.0000])
    """
    mask = real_items(x, mask, "x")
    return _exclude(accumulate(x, "x"), mask).softmax(dim=-1).masked_fill(~mask, 0.0)


def masked_log_softmax(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Log-softmax over the real items of the last axis; 0 (not ``-inf``) at masked items, so that it can be weighted.

    Args:
        x: logits.
        mask: True = a real item.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Example:
        >>> masked_log_softmax(torch.tensor([0.0, 0.0, 9.0]), torch.tensor([True, True, False]))
        tensor([-0.6931, -0.6931,  0.0000])
    """
    mask = real_items(x, mask, "x")
    return _exclude(accumulate(x, "x"), mask).log_softmax(dim=-1).masked_fill(~mask, 0.0)


def masked_logsumexp(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """``log sum exp`` over the real items of the last axis; ``-inf`` with zero gradient where none is above ``-inf``.

    Args:
        x: logits.
        mask: True = a real item.

    Shape:
        ``[..., items] -> [...]``, float32 (float64 for float64).

    Example:
        >>> masked_logsumexp(torch.tensor([0.0, 0.0, 9.0]), torch.tensor([True, True, False]))
        tensor(0.6931)
    """
    mask = real_items(x, mask, "x") & (x != float("-inf"))
    total = _exclude(accumulate(x, "x"), mask).logsumexp(dim=-1)
    return total.masked_fill(~mask.any(dim=-1), float("-inf"))


def masked_mean(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the real items of the last axis; 0 for an all-masked list.

    Args:
        x: values.
        mask: True = a real item.

    Shape:
        ``[..., items] -> [...]``, float32 (float64 for float64).

    Example:
        >>> masked_mean(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    mask = real_items(x, mask, "x")
    return accumulate(x, "x").masked_fill(~mask, 0.0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def safe_reduce(values: Tensor, valid: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """Reduce per-list values over the lists that have something to say.

    Args:
        values: one value a list; what invalid lists hold is ignored, NaN included.
        valid: True = a list that counts; None = all.
        reduction: ``"mean"`` over the valid lists (0 when there is none), ``"sum"``, or ``"none"`` (0 where invalid).

    Shape:
        ``[...] -> []``, or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for an unknown reduction or ``valid`` of another shape.
        TypeError: for values that are not floating point or ``valid`` that is not bool.

    Example:
        >>> safe_reduce(torch.tensor([2.0, float("nan")]), torch.tensor([True, False]))
        tensor(2.)
    """
    values = accumulate(values, "values")
    if valid is None:
        valid = torch.ones_like(values, dtype=torch.bool)
    check_mask(valid, values.shape, "valid")
    check_device(valid, "valid", values, "values")
    values = values.masked_fill(~valid, 0.0)
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return values.sum() / valid.sum().clamp(min=1)
    raise InputError(f'reduction: expected "mean", "sum" or "none", got {reduction!r}')
