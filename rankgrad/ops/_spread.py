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
    # Seen from its highest value a list of equal ones has no spread at all, whatever their mean rounds to.
    peak = x.detach().masked_fill(~counted, float("-inf")).amax(dim=-1, keepdim=True)
    below = torch.where(counted, x, peak).sub(peak).masked_fill(~counted, 0.0)
    count = counted.sum(dim=-1, keepdim=True).clamp(min=1)
    centred = (below - below.sum(dim=-1, keepdim=True) / count).masked_fill(~counted, 0.0)
    variance = centred.square().sum(dim=-1, keepdim=True) / count
    # The root of 0 has no derivative, so it is not taken.
    spreads = variance > 0
    return variance.where(spreads, 1.0).sqrt()
