"""Lists in the order of their scores, where ranks are places."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops._order import stable_order
from rankgrad.ops.pairwise_loss.reference import bound


class Sorted(NamedTuple):
    """Lists in descending order of their scores, real items first."""

    scores: Tensor  # [lists, n], finite
    keys: Tensor  # [lists, n]
    real: Tensor  # [lists, n] 1 = a real item, else 0
    weights: Tensor | None  # [lists, n]
    order: Tensor  # [lists, n]


def sort(scores: Tensor, keys: Tensor, mask: Tensor | None, weights: Tensor | None) -> Sorted:
    """Sort the operands by score, the lower index first among equal ones."""
    limit = bound(scores.dtype)
    bounded = scores.nan_to_num(nan=0.0).clamp(-limit, limit)
    if mask is not None:
        bounded, keys = bounded.masked_fill(~mask, float("-inf")), keys.masked_fill(~mask, 0.0)
    order = stable_order(bounded, descending=True)
    ordered = bounded.gather(1, order)
    real = ordered.isfinite().to(scores.dtype)
    # What is masked stands where the lowest item does, which keeps every difference finite.
    last = real.sum(dim=1, keepdim=True).long().sub_(1).clamp_(min=0)
    ordered = torch.maximum(ordered, ordered.gather(1, last).clamp_(min=-limit))
    weights = None if weights is None else weights.gather(1, order)
    return Sorted(ordered, keys.gather(1, order), real, weights, order)


def finish(values: Tensor, slopes: Tensor, lists: Sorted, scores: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Put slopes back where their items are, and mark lists that hold a NaN."""
    unknown = scores.isnan() if mask is None else scores.isnan() & mask
    unknown = unknown.any(dim=1)
    values = values.masked_fill(unknown, float("nan"))
    if slopes.shape[1]:
        slopes = torch.empty_like(slopes).scatter_(1, lists.order, slopes)
        slopes.masked_fill_(unknown.unsqueeze(1), float("nan"))
        slopes.masked_fill_(scores.abs() > bound(scores.dtype), 0.0)
        if mask is not None:
            slopes.masked_fill_(~mask, 0.0)
    return values, slopes
