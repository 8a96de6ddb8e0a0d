"""Lists with nothing in them that arithmetic would spread: NaN, infinity, and what lies behind the mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate


class BoundedLists(NamedTuple):
    """Lists ``[..., items]`` of finite values.

    Attributes:
        values: in the accumulation dtype. Infinite ones are cut to the bound and take no gradient; masked ones, and all
            of a list that holds a NaN, are 0 and take none either.
        real: True = a real item.
        unknown: ``[..., 1]``, lists in which a real item is NaN.
    """

    values: Tensor
    real: Tensor
    unknown: Tensor


def bound(dtype: torch.dtype, parts: int = 1) -> float:
    """What infinite values are cut to: ``parts`` of them, and differences of two, can be added up.

    Example:
        >>> bound(torch.float16)
        16376.0
    """
    return torch.finfo(dtype).max / (4 * parts)


def bounded(x: Tensor, mask: Tensor | None, *, parts: int = 1) -> BoundedLists:
    """``x`` made finite, ``parts`` being how many values the caller will add up.

    Example:
        >>> bounded(torch.tensor([1.0, float("nan")]), torch.tensor([True, False])).values
        tensor([1., 0.])
    """
    values = accumulate(x, "x")
    real = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
    unknown = (values.isnan() & real).any(dim=-1, keepdim=True)
    limit = bound(values.dtype, parts)
    return BoundedLists(values.masked_fill(unknown | ~real, 0.0).clamp(-limit, limit), real, unknown)


def marked(result: Tensor, lists: BoundedLists) -> Tensor:
    """``result``, NaN at every real item of an unknown list and 0 at masked items.

    Example:
        >>> x = torch.tensor([[1.0, float("nan")], [1.0, 2.0]])
        >>> marked(torch.ones(2, 2), bounded(x, torch.tensor([[True, True], [True, False]])))
        tensor([[nan, nan],
                [1., 0.]])
    """
    return result.masked_fill(lists.unknown, float("nan")).masked_fill(~lists.real, 0.0)
