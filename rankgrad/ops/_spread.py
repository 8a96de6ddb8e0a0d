"""How far the values of a list lie apart."""

from __future__ import annotations

import torch
from torch import Tensor


def standard_deviation(x: Tensor, real: Tensor) -> Tensor:
    """That of each list's real finite items ``[..., 1]``, with divisor n; 1 where they are all equal or there are none.

    Example:
        >>> standard_deviation(torch.tensor([[1.0, 5.0], [5.0, 5.0]]), torch.ones(2, 2, dtype=torch.bool))
        tensor([[2.],
                [1.]])
    """
    counted = real & x.isfinite()
    if not x.shape[-1]:
        return x.new_ones((*x.shape[:-1], 1))
    # Seen from its highest value a list of equal ones has no spread at all, whatever their mean rounds to. Halves, in
    # units of the widest, so that neither a difference nor a square leaves the range.
    halves = torch.where(counted, x, 0.0) / 2
    peak = halves.detach().masked_fill(~counted, float("-inf")).amax(dim=-1, keepdim=True)
    below = (halves - peak).masked_fill(~counted, 0.0)
    widest = -below.detach().amin(dim=-1, keepdim=True)
    spreads = widest > 0
    widest = widest.where(spreads, 1.0)
    below = below / widest
    count = counted.sum(dim=-1, keepdim=True).clamp(min=1)
    centred = (below - below.sum(dim=-1, keepdim=True) / count).masked_fill(~counted, 0.0)
    variance = centred.square().sum(dim=-1, keepdim=True) / count
    # The root of 0 has no derivative, so it is not taken.
    return (2 * variance.where(spreads, 0.25).sqrt()) * widest


def in_deviations(x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The values in units of their list's standard deviation, and that deviation ``[..., 1]``.

    What is masked or not finite stays as it is, and has no part in the gradient of the others.

    Args:
        x: in the accumulation dtype.
        real: True = a real item.

    Example:
        >>> x = torch.tensor([1.0, 5.0, float("nan")])
        >>> in_deviations(x, torch.tensor([True, True, False]))
        (tensor([0.5000, 2.5000,    nan]), tensor([2.]))
    """
    deviation = standard_deviation(x, real)
    counted = real & x.isfinite()
    return torch.where(counted, x.masked_fill(~counted, 0.0) / deviation, x), deviation
