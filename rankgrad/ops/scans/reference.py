"""Logarithms of sums of exponentials from the end of a list, and segment sums, by their definition."""

from __future__ import annotations

import torch
from torch import Tensor


def reverse_logcumsumexp(x: Tensor) -> Tensor:
    """``log sum_{j >= i} exp(x_j)`` ``[..., n]``; the n x n matrix is held.

    Example:
        >>> reverse_logcumsumexp(torch.tensor([0.0, float("-inf"), 0.0]))
        tensor([0.6931, 0.0000, 0.0000])
    """
    n = x.shape[-1]
    behind = torch.ones((n, n), dtype=torch.bool, device=x.device).triu()
    spread = x.unsqueeze(-2).expand(*x.shape, n).masked_fill(~behind, float("-inf"))
    endless = (spread == float("inf")).any(dim=-1)
    spread = spread.masked_fill(spread == float("inf"), float("-inf"))
    peak = spread.detach().amax(dim=-1, keepdim=True) if n else spread.detach().sum(dim=-1, keepdim=True)
    peak = peak.masked_fill(peak == float("-inf"), 0.0)
    total = (spread - peak).exp().sum(dim=-1)
    # The logarithm of 0 has no derivative, so it is not taken.
    nothing = total == 0
    result = total.masked_fill(nothing, 1.0).log() + peak.squeeze(-1)
    return result.masked_fill(nothing, float("-inf")).masked_fill(endless, float("inf"))


def segment_sum(x: Tensor, offsets: Tensor) -> Tensor:
    """Sums ``[segments, ...]`` of the rows between two offsets.

    Example:
        >>> segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2, 3]))
        tensor([3., 0., 3.])
    """
    rows = torch.arange(x.shape[0], device=x.device)
    # Counted from 1; rows before the first offset and from the last one on are no segment's.
    owner = (offsets.unsqueeze(0) <= rows.unsqueeze(1)).sum(dim=1)
    return x.new_zeros((offsets.shape[0] + 1, *x.shape[1:])).index_add(0, owner, x)[1:-1]
