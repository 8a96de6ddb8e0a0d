"""Sigmoid ranks by their definition."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate


def bound(dtype: torch.dtype) -> float:
    """What infinite values are cut to: differences of two stay finite.

    Example:
        >>> bound(torch.float16)
        16376.0
    """
    return torch.finfo(dtype).max / 4


def ranks(values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """Ranks ``[..., n]``, 1 = highest, 0 where masked; the n x n matrix is held.

    Adding every j and taking away the 1/2 of j = i leaves no diagonal to single out.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1)
        tensor([1.0000, 2.5000, 2.5000])
    """
    values = accumulate(values, "values")
    limit = bound(values.dtype)
    others = own = values.clamp(-limit, limit)
    if mask is not None:
        others, own = others.masked_fill(~mask, float("-inf")), own.masked_fill(~mask, 0.0)
    above = ((others.unsqueeze(-2) - own.unsqueeze(-1)) / temperature).sigmoid()
    result = 0.5 + above.sum(dim=-1)
    return result if mask is None else result.masked_fill(~mask, 0.0)
