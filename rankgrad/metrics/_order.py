"""The order that hard ranks stand for: best first, ties by a stated rule, masked items last."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankgrad.ops._order import readable


def ranked_order(
    scores: Tensor, mask: Tensor | None, tie_order: Tensor | None = None, *, first: int | None = None
) -> Tensor:
    """Indices of each list's items by score, highest first; of equal scores the higher ``tie_order`` comes first.

    Where that is equal too, or None, the lower index comes first. Masked items come last. A list with a NaN has no
    order that means anything.

    Shape:
        ``[..., items]`` each -> int64 ``[..., items]``, or ``[..., first]`` where that is less.

    Example:
        >>> scores = torch.tensor([0.5, 0.5, 0.9])
        >>> ranked_order(scores, None), ranked_order(scores, None, torch.tensor([1, 2, 3]))
        (tensor([2, 0, 1]), tensor([2, 1, 0]))
    """
    scores = scores.detach()
    if tie_order is not None:
        before = tie_order.argsort(dim=-1, descending=True, stable=True)
        mask = None if mask is None else mask.gather(-1, before)
        return before.gather(-1, ranked_order(scores.gather(-1, before), mask, first=first))
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    if scores.dtype == torch.float32 and readable(scores):
        return _by_keys(scores, mask, first)
    # NaN is the last of an ascending sort.
    values = -scores if mask is None else (-scores).masked_fill(~mask, float("nan"))
    if readable(values):
        return torch.from_numpy(np.argsort(values.numpy(), axis=-1, kind="stable")[..., :first])
    return values.argsort(dim=-1, stable=True)[..., :first]


def descending(values: Tensor, first: int | None = None) -> Tensor:
    """The highest ``first`` values of the last axis, or all, highest first."""
    values = values.detach()
    if readable(values):
        # numpy's vectorised sort takes a tenth of torch's time on rows of a hundred.
        rising = torch.from_numpy(np.sort(values.numpy(), axis=-1))
        return rising[..., max(0, rising.shape[-1] - first) if first else 0 :].flip(-1)
    return values.sort(dim=-1, descending=True).values[..., :first]


def _by_keys(scores: Tensor, mask: Tensor | None, first: int | None) -> Tensor:
    """Sort one integer an item, its score's bits above its index: distinct, so that no sort need be stable."""
    # Adding 0 copies, and makes one zero of two.
    bits = (scores + 0.0).numpy().view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    np.invert(bits, out=bits)
    if mask is not None:
        np.putmask(bits, ~mask.numpy(), np.int32(0x7FFFFFFF))
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(scores.shape[-1], dtype=np.int64)
    keys.sort(axis=-1)
    return torch.from_numpy(keys[..., :first] & 0xFFFFFFFF)
