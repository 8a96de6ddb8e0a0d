"""Products with relaxed permutations as operators of torch: opaque to the compiler, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops.relaxed_permutation import products


@torch.library.custom_op("rankgrad::relaxed_permutation_product", mutates_args=())
def product_op(
    ordered: Tensor, weights: Tensor, temperature: float, kind: str, transpose: bool, triton: bool
) -> Tensor:
    """``sum_j E_kj w_j`` (transposed ``sum_i E_ik w_i``) of ``weights [lists, dim, n]``, see ``products``."""
    return products.multiply(ordered, weights, temperature, kind, transpose=transpose, moments=False, triton=triton)[0]


@product_op.register_fake
def _(ordered: Tensor, weights: Tensor, temperature: float, kind: str, transpose: bool, triton: bool) -> Tensor:
    return torch.empty_like(weights, memory_format=torch.contiguous_format)


@torch.library.custom_op("rankgrad::relaxed_permutation_product_backward", mutates_args=())
def product_backward_op(
    upstream: Tensor, ordered: Tensor, weights: Tensor, temperature: float, kind: str, transpose: bool, triton: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of ``ordered`` and ``weights``."""
    return products.gradients(upstream, ordered, weights, temperature, kind, transpose=transpose, triton=triton)


@product_backward_op.register_fake
def _(
    upstream: Tensor, ordered: Tensor, weights: Tensor, temperature: float, kind: str, transpose: bool, triton: bool
) -> tuple[Tensor, Tensor]:
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (ordered, weights))  # type: ignore[return-value]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ordered, weights, *ctx.options = inputs
    ctx.save_for_backward(ordered, weights)


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    return *product_backward_op(upstream, *ctx.saved_tensors, *ctx.options), None, None, None, None


product_op.register_autograd(_backward, setup_context=_setup)


def rows(ordered: Tensor, weights: Tensor, real: Tensor, temperature: float, kind: str, *, triton: bool) -> Tensor:
    """P times ``weights [lists, dim, n]``, which is 0 where no item is real."""
    ones = real.to(weights.dtype).unsqueeze(1)
    found = product_op(ordered, torch.cat([weights, ones], dim=1), temperature, kind, False, triton)
    return found[:, :-1] / _normalisers(found[:, -1:], real)


def columns(ordered: Tensor, weights: Tensor, real: Tensor, temperature: float, kind: str, *, triton: bool) -> Tensor:
    """The transpose of P times ``weights [lists, dim, n]``, which is 0 where no item is real."""
    ones = real.to(weights.dtype).unsqueeze(1)
    sums = product_op(ordered, ones, temperature, kind, False, triton)
    return product_op(ordered, weights / _normalisers(sums, real), temperature, kind, True, triton)


def _normalisers(sums: Tensor, real: Tensor) -> Tensor:
    """Sums of rows; of a row that is no place, 1, lest it divide by 0."""
    return sums.where(real.unsqueeze(1), 1.0)
