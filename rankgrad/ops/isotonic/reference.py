"""The definition of isotonic regression, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

# An exported graph takes lists of up to two to so many items; their means alone would fill 16 GiB.
_DOUBLINGS = 16


def regression(numerators: Tensor, weights: Tensor, *, logarithmic: bool) -> Tensor:
    """The rising list ``v_i = max_{j <= i} min_{k >= i} mean(j..k)``, the mean being that of items j to k.

    The n x n means of a list are held. All is plain operators, so the result can be exported and differentiated.

    Args:
        numerators: weights times values, or their logarithms where ``logarithmic``; ``inf`` at the end of a list where
            it has no items.
        weights: positive weights, or their logarithms where ``logarithmic``.
        logarithmic: means are logarithms of means of exponentials.

    Shape:
        both ``[..., items]`` -> ``[..., items]``
    """
    n = numerators.shape[-1]
    if n == 0:
        return numerators + weights
    before = numerators.new_ones((n, n)).tril(-1).bool()
    left_out = float("-inf") if logarithmic else 0.0

    def totals(x: Tensor) -> Tensor:
        spread = x.unsqueeze(-2).expand(*x.shape, n).masked_fill(before, left_out)
        return spread.logcumsumexp(dim=-1) if logarithmic else spread.cumsum(dim=-1)

    nobody = numerators == float("inf")
    above, below = totals(numerators.masked_fill(nobody, 0.0)), totals(weights)
    above, below = above.masked_fill(before, 0.0), below.masked_fill(before, 1.0)
    means = above - below if logarithmic else above / below
    means = means.masked_fill(before | nobody.unsqueeze(-2), float("inf"))
    return _least_behind(means).masked_fill(before, float("-inf")).amax(dim=-2)


def _least_behind(x: Tensor) -> Tensor:
    """At each place the least of what stands there and behind it."""
    if not (torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()):
        return x.flip(-1).cummin(dim=-1).values.flip(-1)
    # ONNX has no running minimum. Each step doubles how far one reaches; the last place may be met again.
    places = torch.arange(x.shape[-1], device=x.device)
    for doubling in range(_DOUBLINGS):
        x = x.minimum(x.index_select(-1, (places + (1 << doubling)).clamp(max=x.shape[-1] - 1)))
    return x
