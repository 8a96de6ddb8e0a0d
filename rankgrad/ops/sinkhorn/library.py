"""The product with a matrix of exponentials as an operator of torch: opaque to the compiler, and its own gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._dispatch import Implementation
from rankgrad.ops.sinkhorn import cpu, launch, reference
from rankgrad.ops.sinkhorn.iterations import Product


@torch.library.custom_op("rankgrad::transport_product", mutates_args=())
def product_op(
    places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool, triton: bool
) -> Tensor:
    """``exp((place_k - place_i) point_i + row_k + column_i)``, or its transpose, times ``weights [lists, n, d]``.

    Vectors are ``[lists, n]``. What is summed, and comes back, has the dtype of the weights. Places and points fall
    along the list, -inf potentials are at its end, and no exponential exceeds n: what counts is near the diagonal.
    """
    return (launch if triton else cpu).product(places, points, rows, columns, weights, transpose)


@product_op.register_fake
def _(
    places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool, triton: bool
) -> Tensor:
    return torch.empty_like(weights, memory_format=torch.contiguous_format)


@torch.library.custom_op("rankgrad::transport_moments", mutates_args=())
def moments_op(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, triton: bool) -> Tensor:
    """The transpose times the weights, and that of its derivative by the points, ``[lists, n, 2 d]``."""
    return (launch if triton else cpu).moments(places, points, rows, columns, weights)


@moments_op.register_fake
def _(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, triton: bool) -> Tensor:
    return weights.new_empty((*weights.shape[:-1], 2 * weights.shape[-1]))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5], output)
    ctx.transpose, ctx.triton = inputs[5:]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    places, points, rows, columns, weights, output = ctx.saved_tensors
    vectors = (places, points, rows, columns)
    _, of_points, of_rows, of_columns, of_weights, *_ = ctx.needs_input_grad
    d_points = d_rows = d_columns = d_weights = None
    # The places' side of the pair and the items' side.
    upper, lower = (weights, gradient) if ctx.transpose else (gradient, weights)
    width = weights.shape[-1]
    pulled = None
    if of_points or (not ctx.transpose and (of_columns or of_weights)):
        pulled = moments_op(*vectors, upper, ctx.triton)
    if pulled is not None and of_points:
        d_points = (lower * pulled[..., width:]).sum(dim=-1).to(points)
    if ctx.transpose:
        if of_rows or of_weights:
            d_weights = product_op(*vectors, gradient, False, ctx.triton)
            d_rows = (weights * d_weights).sum(dim=-1).to(rows)
        if of_columns:
            d_columns = (gradient * output).sum(dim=-1).to(columns)
    else:
        if pulled is not None:
            d_weights = pulled[..., :width].contiguous()
            d_columns = (weights * d_weights).sum(dim=-1).to(columns)
        if of_rows:
            d_rows = (gradient * output).sum(dim=-1).to(rows)
    return None, d_points, d_rows, d_columns, d_weights, None, None


product_op.register_autograd(_backward, setup_context=_setup)


def product(implementation: Implementation) -> Product:
    """The product that an implementation makes, of any leading axes."""
    if implementation == "reference":
        return reference.product
    triton = implementation == "triton"

    def found(
        places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool
    ) -> Tensor:
        vectors = [vector.unsqueeze(0).flatten(0, -2) for vector in (places, points, rows, columns)]
        flat = weights.unsqueeze(0).flatten(0, -3)
        return product_op(*vectors, flat, transpose, triton).view(weights.shape)

    return found
