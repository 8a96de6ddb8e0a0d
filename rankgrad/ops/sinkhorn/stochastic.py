"""Sinkhorn normalisation of a given matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import check_device, check_mask
from rankgrad.ops.sinkhorn import stochastic_library
from rankgrad.ops.sinkhorn.api import ITERATIONS, check_iterations
from rankgrad.ops.sinkhorn.problem import bound
from rankgrad.ops.sinkhorn.scaling import scaled, scaling


def doubly_stochastic(
    logits: Tensor,
    mask: Tensor | None = None,
    *,
    iterations: int = ITERATIONS,
    tolerance: float | None = None,
) -> Tensor:
    """Scale the rows and columns of ``exp(logits)`` until both sum to 1.

    A softmax over each row; then so many times columns divided by their sums, and rows by theirs. Rows sum to 1
    whatever the iterations, columns ever better. All in the log domain, so that nothing overflows. The gradient is that
    of the iterations made: they are gone through backwards with the scales of each, ``O(n)`` numbers an iteration,
    while matrices are made again. A constant added to a row or a column leaves the limit as it is; to a row, also the
    result.

    Args:
        logits: logarithms of a matrix, row i for place i; infinite ones are cut to something finite without gradient.
        mask: True = a real item, one a column; m real items have the first m rows. None = all.
        iterations: at most so many.
        tolerance: a list stops where no column's sum is off by more; None = never.

    Shape:
        logits ``[..., n, n]``, mask ``[..., n]`` -> ``[..., n, n]``, float32 (float64 for float64).

    Returns:
        The matrix; 0 in masked columns and in rows after the first m, NaN in a list with a NaN among the rest.

    Raises:
        InputError: for logits that are not square, a mask of another shape, iterations below 0 or a tolerance not
            above 0.
        TypeError: for logits that are not floating point or a mask that is not bool.

    Reference:
        Sinkhorn, Knopp: Concerning nonnegative matrices and doubly stochastic matrices, Pacific Journal of Mathematics
        21, 1967.

    Example:
        >>> doubly_stochastic(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), iterations=50)
        tensor([[0.2689, 0.7311],
                [0.7311, 0.2689]])
    """
    check_iterations(iterations, tolerance)
    if logits.dim() < 2 or logits.shape[-1] != logits.shape[-2]:
        raise InputError(f"logits: expected shape [..., n, n], got {list(logits.shape)}")
    if mask is None:
        mask = logits.new_ones(logits.shape[:-1], dtype=torch.bool)
    check_mask(mask, logits.shape[:-1])
    check_device(mask, "mask", logits, "logits")
    places = torch.arange(logits.shape[-1], device=logits.device) < mask.sum(dim=-1, keepdim=True)
    both = places.unsqueeze(-1) & mask.unsqueeze(-2)
    unknown = (logits.isnan() & both).flatten(-2).any(dim=-1)[..., None, None]
    bounded = bound(logits.masked_fill(unknown | ~both, 0.0))
    if not logits.numel():
        return bounded
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        centred = _centred(bounded, both)
        rows, columns, _ = scaling(centred, iterations, tolerance, may_look=False)
        result = scaled(centred, rows[-1], columns[-1])
    else:
        flat = _centred(bounded, both).unsqueeze(0).flatten(0, -3)
        result = stochastic_library.scaling_op(flat, iterations, tolerance)[0].view(bounded.shape)
    return result.masked_fill(unknown, float("nan")).masked_fill(~both, 0.0)


def _centred(logits: Tensor, both: Tensor) -> Tensor:
    """Logits below their row's highest, which changes nothing and keeps digits; -inf where nothing is real."""
    hidden = logits.masked_fill(~both, float("-inf"))
    peak = hidden.detach().amax(dim=-1, keepdim=True)
    return hidden - torch.where(peak.isfinite(), peak, 0.0)
