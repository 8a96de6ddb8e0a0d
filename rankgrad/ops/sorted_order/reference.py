"""The order of lists by torch's stable sort."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops._order import stable_order


def order(x: Tensor, mask: Tensor | None, *, descending: bool) -> Tensor:
    """Where each place's item comes from, among equals by place; masked items last, in their order.

    Example:
        >>> order(torch.tensor([3, 1, 2, 1]), torch.tensor([False, True, True, True]), descending=False)
        tensor([1, 3, 2, 0])
    """
    if mask is None:
        return stable_order(x, descending=descending)
    found = stable_order(x.masked_fill(~mask, 0), descending=descending)
    # A second stable sort needs no value that stands beyond all others, which integers do not have.
    return found.gather(-1, stable_order(mask.gather(-1, found).byte(), descending=True))


def ranks(x: Tensor, mask: Tensor | None, *, descending: bool) -> Tensor:
    """1-based places of the items in their order, 0 where masked; NaN in a list in which a real item is NaN.

    Example:
        >>> ranks(torch.tensor([0.1, 0.9, 0.9, 5.0]), torch.tensor([True, True, True, False]), descending=True)
        tensor([3., 1., 2., 0.])
    """
    found = order(x, mask, descending=descending)
    places = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=accumulation_dtype(x=x)).expand(x.shape)
    result = torch.zeros_like(places).scatter(-1, found, places)
    unknown = x.isnan() if mask is None else x.isnan() & mask
    result = result.masked_fill(unknown.any(dim=-1, keepdim=True), float("nan"))
    return result if mask is None else result.masked_fill(~mask, 0.0)
