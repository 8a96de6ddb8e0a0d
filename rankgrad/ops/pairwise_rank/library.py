"""Sigmoid ranks as operators of torch: opaque to the compiler, differentiable, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankgrad.ops._arguments import accumulation_dtype, as_lists
from rankgrad.ops._dispatch import Implementation
from rankgrad.ops._order import readable
from rankgrad.ops.pairwise_rank import cpu, launch, reference

# Beyond these the temperature or its inverse would leave float32; differences are long all saturated, or all zero.
_LEAST, _MOST = 1e-37, 1e37


@torch.library.custom_op("rankgrad::pairwise_rank", mutates_args=())
def pairwise_rank_op(values: Tensor, mask: Tensor | None, temperature: float, triton: bool) -> Tensor:
    """Ranks of ``values [lists, n]`` in their accumulation dtype, rank 1 = highest, 0 where masked."""
    return (launch if triton else cpu).forward(values, mask, temperature)


@pairwise_rank_op.register_fake
def _(values: Tensor, mask: Tensor | None, temperature: float, triton: bool) -> Tensor:
    dtype = accumulation_dtype(values=values)
    return torch.empty_like(values, dtype=dtype, memory_format=torch.contiguous_format)


@torch.library.custom_op("rankgrad::pairwise_rank_backward", mutates_args=())
def pairwise_rank_backward_op(
    gradients: Tensor, values: Tensor, mask: Tensor | None, temperature: float, triton: bool
) -> Tensor:
    """The gradient of the values, in their dtype."""
    return (launch if triton else cpu).backward(values, mask, temperature, gradients)


@pairwise_rank_backward_op.register_fake
def _(gradients: Tensor, values: Tensor, mask: Tensor | None, temperature: float, triton: bool) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    values, mask, *ctx.options = inputs
    ctx.save_for_backward(values, mask)


def _backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
    return pairwise_rank_backward_op(gradients, *ctx.saved_tensors, *ctx.options), None, None, None


pairwise_rank_op.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The operator on a CPU without its bookkeeping, which for short lists takes longer than the work."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
        ctx.save_for_backward(values, mask)
        ctx.temperature = temperature
        return cpu.forward(values, mask, temperature)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, mask = ctx.saved_tensors
        return cpu.backward(values, mask, ctx.temperature, gradients), None, None


def ranks(values: Tensor, mask: Tensor | None, temperature: float, *, implementation: Implementation) -> Tensor:
    """``0.5 + sum_{j real} sigmoid((x_j - x_i) / temperature)`` of each list: rank 1 = highest, 0 where masked.

    Args:
        values: what is ranked, of any floating-point dtype. Infinite ones take no gradient.
        mask: True = a real item; None = all.
        temperature: above 0.
        implementation: ``"triton"``, ``"tiled"`` (a CPU) or ``"reference"`` (n x n, differentiable more than once).

    Shape:
        values and mask ``[..., n]`` -> ``[..., n]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at the real items of a list in which one is NaN.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1, implementation="tiled")
        tensor([1.0000, 2.5000, 2.5000])
    """
    temperature = min(max(temperature, _LEAST), _MOST)
    if implementation == "reference":
        return reference.ranks(values, mask, temperature)
    triton = implementation == "triton"
    shape, values = values.shape, as_lists(values)
    mask = None if mask is None else as_lists(mask)
    if not triton and readable(values):
        return _Eager.apply(values, mask, temperature).view(shape)
    tracing = torch.compiler.is_compiling() or values.device.type == "meta"
    if not (tracing or (torch.is_grad_enabled() and values.requires_grad)):
        # Nothing to differentiate and nothing to trace: the operator's bookkeeping would be time lost.
        return (launch if triton else cpu).forward(values, mask, temperature).view(shape)
    return pairwise_rank_op(values, mask, temperature, triton).view(shape)
