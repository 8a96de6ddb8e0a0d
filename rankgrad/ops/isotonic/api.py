"""Isotonic regression."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import sorted_order
from rankgrad.ops._arguments import accumulation_dtype, real_items
from rankgrad.ops._dispatch import Backend, Implementation
from rankgrad.ops.isotonic import reference
from rankgrad.ops.isotonic.problem import (
    Regularization,
    block_sum,
    find_blocks,
    implementation,
    is_logarithmic,
    masked_lists,
    unsort,
    wide,
)


def isotonic_regression(
    y: Tensor,
    weights: Tensor | None = None,
    *,
    increasing: bool = True,
    regularization: Regularization = "l2",
    mask: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """The closest list that never falls.

    ``"l2"`` minimises ``sum_i w_i (v_i - y_i)^2`` and ``"kl"`` minimises ``sum_i w_i (exp(y_i - v_i) + v_i)`` over all
    rising lists v. The result is constant on blocks of neighbours, there the weighted mean of y, or the logarithm of
    the weighted mean of ``exp(y)``. The gradient is exact: with B the block of item i and g the upstream gradient, y
    receives ``w_i / sum_B w sum_B g``, for ``"kl"`` times ``exp(y_i - v_i)``. Neighbours of equal level share a block.

    A CPU pools all lists with scipy where it is installed. CUDA has Triton kernels for lists of at most 2048 items.
    Otherwise, and for float64 on CUDA, halves are merged in plain torch, in O(n log^2 n), with
    the same blocks. Export takes the definition, which holds n x n numbers a list.

    Args:
        y: what to bring in order; finite.
        weights: above 0; None = 1 each. They receive a gradient too.
        increasing: the result never falls, else it never rises.
        regularization: ``"l2"`` or ``"kl"``.
        mask: True = a real item; masked ones are left out, and are 0 in the result.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., items]`` each, and the result: float32 (float64 where an operand is float64).

    Returns:
        The rising list; NaN at every real item of a list in which a real item is not finite or its weight not finite
        and above 0.

    Raises:
        InputError: for a mask or weights of another shape, an unknown option, or a backend that cannot run.
        TypeError: for operands that are not floating point, or a mask that is not bool.

    Reference:
        Best, Chakravarti: Active set algorithms for isotonic regression; a unifying framework, Mathematical
        Programming 47, 1990. For ``"kl"``: Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and
        ranking, ICML 2020.

    Example:
        >>> isotonic_regression(torch.tensor([1.0, 3.0, 2.0, 4.0]))
        tensor([1.0000, 2.5000, 2.5000, 4.0000])
    """
    logarithmic = is_logarithmic(regularization)
    mask = real_items(y, mask, "y")
    dtype = accumulation_dtype(y=y) if weights is None else accumulation_dtype(y=y, weights=weights)
    if weights is not None and weights.shape != y.shape:
        raise InputError(
            f"weights: expected the shape of y {list(y.shape)}, got {list(weights.shape)}; use .expand_as(y)"
        )
    y = y.to(dtype)
    path = implementation(backend, y, op="isotonic_regression")
    wrong = masked_lists(y, mask, finite=True)
    if weights is not None:
        weights = weights.to(dtype)
        wrong = wrong | masked_lists(weights.where(weights > 0, float("nan")), mask, finite=True)
        weights = weights.masked_fill(wrong | ~mask, 1.0)
    y = y.masked_fill(wrong | ~mask, 0.0)
    # Masked items go behind the real ones, whose order stays.
    gone = (~mask if increasing else ~mask.flip(-1)).byte()
    order = sorted_order.order(gone, descending=False, backend="triton" if path == "triton" else "reference")
    order = order if increasing else y.shape[-1] - 1 - order
    y, weights = y.gather(-1, order), None if weights is None else weights.gather(-1, order)
    result = _rising(y, weights, mask.gather(-1, order), logarithmic=logarithmic, path=path)
    return unsort(result, order).masked_fill(wrong, float("nan")).masked_fill(~mask, 0.0)


def _rising(y: Tensor, weights: Tensor | None, real: Tensor, *, logarithmic: bool, path: Implementation) -> Tensor:
    """The regression of lists whose real items come first."""
    if path == "reference":
        one = torch.ones_like(y) if weights is None else weights
        scale = one.log() if logarithmic else one
        numerators = (y + scale if logarithmic else y * scale).masked_fill(~real, float("inf"))
        return reference.regression(numerators, scale, logarithmic=logarithmic)
    scale = None if weights is None else wide(weights.log() if logarithmic else weights)
    numerators = wide(y)
    if scale is not None:
        numerators = numerators + scale if logarithmic else numerators * scale
    numerators = numerators.masked_fill(~real, float("inf"))
    blocks = find_blocks(numerators, scale, logarithmic=logarithmic, path=path)
    first, end = blocks.long()
    if weights is None:
        weights, total = torch.ones_like(y), end - first
    else:
        total = block_sum(weights, blocks, path=path)
    if not logarithmic:
        base = y.detach().gather(-1, first)
        return base + block_sum(weights * (y - base), blocks, path=path) / total
    values = y.detach()
    peak = torch.full_like(values, float("-inf")).scatter_reduce(-1, first, values, "amax").gather(-1, first)
    return peak + (block_sum(weights * (y - peak).exp(), blocks, path=path) / total).log()
