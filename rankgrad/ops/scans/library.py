"""Scans as operators of torch: opaque to the compiler, differentiable, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops._order import readable
from rankgrad.ops.maxsim.problem import check_offsets
from rankgrad.ops.scans import cpu, launch


@torch.library.custom_op("rankgrad::reverse_logcumsumexp", mutates_args=())
def reverse_logcumsumexp_op(x: Tensor, triton: bool) -> Tensor:
    """``log sum_{j >= i} exp(x_j)`` of ``x [lists, n]`` in its accumulation dtype."""
    return (launch if triton else cpu).forward(x) if x.numel() else _empty(x, accumulation_dtype(x=x))


@reverse_logcumsumexp_op.register_fake
def _(x: Tensor, triton: bool) -> Tensor:
    return _empty(x, accumulation_dtype(x=x))


@torch.library.custom_op("rankgrad::reverse_logcumsumexp_backward", mutates_args=())
def reverse_logcumsumexp_backward_op(upstream: Tensor, x: Tensor, sums: Tensor, triton: bool) -> Tensor:
    """The gradient of x, in its dtype."""
    return (launch if triton else cpu).backward(x, sums, upstream) if x.numel() else _empty(x, x.dtype)


@reverse_logcumsumexp_backward_op.register_fake
def _(upstream: Tensor, x: Tensor, sums: Tensor, triton: bool) -> Tensor:
    return _empty(x, x.dtype)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], output)
    ctx.triton = inputs[1]


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
    return reverse_logcumsumexp_backward_op(upstream, *ctx.saved_tensors, ctx.triton), None


reverse_logcumsumexp_op.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The operator on a CPU without its bookkeeping, which for short lists takes longer than the work."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        sums = cpu.forward(x)
        ctx.save_for_backward(x, sums)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        x, sums = ctx.saved_tensors
        return cpu.backward(x, sums, upstream)


def reverse_logcumsumexp(x: Tensor, triton: bool) -> Tensor:
    """The operator by its shortest way."""
    if triton or not x.numel() or not readable(x):
        return reverse_logcumsumexp_op(x, triton)
    return _Eager.apply(x)


@torch.library.custom_op("rankgrad::segment_sum", mutates_args=())
def segment_sum_op(x: Tensor, offsets: Tensor) -> Tensor:
    """Sums ``[segments, ...]`` of the rows of ``x [rows, ...]`` between two offsets, in its accumulation dtype.

    Held in float64 where the device has it: a segment may have a million rows, and one thread adds them up in order.
    """
    check_offsets(offsets, x.shape[0], "cu_seqlens")
    result = _segments(x, offsets)
    if not result.numel() or not x.numel():
        return result.zero_()
    wide = torch.float64 if x.device.type in ("cpu", "cuda") else result.dtype
    flat = x.reshape(x.shape[0], -1).to(wide)
    sums = torch.segment_reduce(flat, "sum", offsets=_within(offsets, x.shape[0]), axis=0, unsafe=True)
    return result.copy_(sums.view(result.shape))


@segment_sum_op.register_fake
def _(x: Tensor, offsets: Tensor) -> Tensor:
    return _segments(x, offsets)


def _setup_segments(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, offsets = inputs
    ctx.save_for_backward(offsets)
    ctx.rows, ctx.dtype = x.shape[0], x.dtype


def _segments_backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
    (offsets,) = ctx.saved_tensors
    offsets, segments = _within(offsets, ctx.rows), upstream.shape[0]
    rows = torch.arange(ctx.rows, device=offsets.device)
    # Rows of no segment take the zeros that follow the last one.
    owner = torch.searchsorted(offsets[1:].contiguous(), rows, right=True).where(rows >= offsets[0], segments)
    known = torch.cat([upstream, upstream.new_zeros((1, *upstream.shape[1:]))])
    return known.index_select(0, owner).to(ctx.dtype), None


segment_sum_op.register_autograd(_segments_backward, setup_context=_setup_segments)


def _empty(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(x, dtype=dtype, memory_format=torch.contiguous_format)


def _segments(x: Tensor, offsets: Tensor) -> Tensor:
    return x.new_empty((offsets.shape[0] - 1, *x.shape[1:]), dtype=accumulation_dtype(x=x))


def _within(offsets: Tensor, rows: int) -> Tensor:
    """Offsets in int64 that lead nowhere but to the rows and never fall: on a device wrong ones are not looked at."""
    return offsets.long().clamp(0, rows).cummax(0).values
