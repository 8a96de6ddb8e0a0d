"""Gradients brought to where 16 bits hold them."""

from __future__ import annotations

import torch
from torch import Tensor

# float16 ends at 2^16; half of it is left for what rounding adds to a share.
_HIGHEST = 2.0**15
_LOWEST = 2.0**-100


def within_half(gradients: Tensor, row_query: Tensor, row_scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradients of scores times a power of two that takes the largest of a row to [2^14, 2^15), and its inverse.

    float16 multiplies what a row hands to a document, its query's gradient times its own factor: from 65504 on that
    would be infinite and below 6e-8 nothing. Infinite and NaN gradients stay so and do not count. All is computed on
    the device, which nobody waits for; powers of two round nothing.

    Args:
        gradients: of the scores.
        row_query: whose each row is.
        row_scale: each row's factor; None = 1.

    Shape:
        gradients ``[queries, candidates]`` in float32, row_query and row_scale ``[rows]``, none of them empty.

    Returns:
        The gradients and, without an axis, what results are to be multiplied with.

    Example:
        >>> scaled, back = within_half(torch.tensor([[2.0**20], [3.0]]), torch.tensor([0, 1]), None)
        >>> scaled.tolist(), back.item()
        ([[16384.0], [0.046875]], 64.0)
    """
    peaks = gradients.abs().nan_to_num(nan=0.0, posinf=0.0)
    if row_scale is not None:
        peaks = (peaks.amax(dim=1)[row_query] * row_scale.abs()).nan_to_num(nan=0.0, posinf=0.0)
    peak = peaks.amax().clamp(min=_LOWEST)
    # The quotient of a number and its mantissa is a power of two.
    factor = torch.frexp(peak).mantissa * _HIGHEST / peak
    return gradients * factor, 1 / factor
