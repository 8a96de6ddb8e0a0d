"""Logarithms of sums of exponentials from the end of a list on a CPU, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops.scans.recurrence import recurrence

# Exponents this far apart, and sums of their exponentials, lie within float64.
_WIDEST = 600.0


def forward(x: Tensor) -> Tensor:
    """``log sum_{j >= i} exp(x_j)``, ``[lists, n]``.

    Sums from the peak of the list, where it spans no more than 600; a list that is wider takes torch's own scan.
    """
    wide = x.double()
    peak, span = _peak_and_span(wide)
    if bool((span <= _WIDEST).all()):
        sums = (wide - peak).exp_().flip(1).cumsum(dim=1).log_().flip(1).add_(peak)
    else:
        sums = wide.flip(1).logcumsumexp(dim=1).flip(1)
    return sums.to(accumulation_dtype(x=x))


def backward(x: Tensor, sums: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of x, in its dtype: ``exp(x_i) sum_{j <= i} g_j exp(-y_j)`` without leaving the range."""
    wide, sums = x.double(), sums.double()
    # Sums of nothing and infinite ones hand nothing on.
    infinite = sums.isinf()
    received = upstream.double().masked_fill(infinite, 0.0)
    peak, span = _peak_and_span(sums)
    if bool((span <= _WIDEST).all()):
        middle = peak - span / 2
        growth = sums.sub(middle).masked_fill_(infinite, 0.0).neg_().exp_()
        result = received.mul_(growth).cumsum(dim=1).mul_((wide - middle).exp_())
    else:
        factors = torch.zeros_like(sums)
        torch.exp(sums[:, 1:] - sums[:, :-1], out=factors[:, 1:])
        factors[:, 1:].masked_fill_(infinite[:, 1:] | infinite[:, :-1], 0.0)
        result = recurrence(factors, received).mul_((wide - sums.masked_fill(infinite, 0.0)).exp_())
    return result.masked_fill_(infinite | wide.isinf(), 0.0).to(x.dtype)


def _peak_and_span(x: Tensor) -> tuple[Tensor, Tensor]:
    """The highest number of each list and how far its lowest one but ``-inf`` lies below, ``[lists, 1]``."""
    peak = x.amax(dim=1, keepdim=True)
    lowest = x.masked_fill(x == float("-inf"), float("inf")).amin(dim=1, keepdim=True)
    # A list of nothing but -inf.
    none = peak == float("-inf")
    return peak.masked_fill(none, 0.0), (peak - lowest).masked_fill(none, 0.0)
