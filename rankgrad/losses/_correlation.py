"""Pearson's correlation."""

from __future__ import annotations

from torch import Tensor

from rankgrad.losses._lists import bounded
from rankgrad.ops import masked_mean
from rankgrad.ops._spread import in_deviations


def correlation(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Pearson's correlation over the real items, ``[...]``; 0, with zero gradient, where either is constant."""
    one, other = (_standardised(values, mask) for values in (x, y))
    return masked_mean(one * other, mask)


def _standardised(x: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and deviation 1; 0 where the values are all equal."""
    scaled, _ = in_deviations(bounded(x), mask)
    return (scaled - masked_mean(scaled, mask).unsqueeze(-1)).masked_fill(~mask, 0.0)
