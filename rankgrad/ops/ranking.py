"""Exact ranks."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate, real_items


class RankFunction(Protocol):
    """From scores to 1-based ranks, 0 at masked items: :func:`hard_rank`, or a soft rank with its options bound."""

    def __call__(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor: ...


def hard_rank(x: Tensor, *, mask: Tensor | None = None, descending: bool = True) -> Tensor:
    """1-based ranks of the last axis; among equal values the lowest index ranks first.

    ``rank_i = 1 + #{j real: x_j > x_i} + #{j real, j < i: x_j = x_i}`` (``<`` for ascending). The ranks carry no
    gradient.

    Args:
        x: values to rank.
        mask: True = a real item; masked items get rank 0 and count for nobody.
        descending: rank 1 is the highest value, else the lowest.

    Shape:
        ``[..., items]``, float32 (float64 for float64), exact for lists of any length an index can hold.

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for a mask of another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Example:
        >>> hard_rank(torch.tensor([0.1, 0.9, 0.9, 5.0]), mask=torch.tensor([True, True, True, False]))
        tensor([3., 1., 2., 0.])
    """
    mask = real_items(x, mask, "x")
    values = accumulate(x, "x").detach().masked_fill(~mask, 0.0)
    order = values.argsort(dim=-1, descending=descending, stable=True)
    # Counting real items along the order, not positions, keeps a masked item from taking a rank.
    counts = mask.gather(-1, order).cumsum(dim=-1).to(values.dtype)
    ranks = torch.zeros_like(values).scatter(-1, order, counts)
    ranks = ranks.masked_fill(values.isnan().any(dim=-1, keepdim=True), float("nan"))
    return ranks.masked_fill(~mask, 0.0)
