"""Isotonic regression as operators of torch: opaque to the compiler, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._order import stable_order
from rankgrad.ops.isotonic import cpu, launch


@torch.library.custom_op("rankgrad::isotonic_blocks", mutates_args=())
def blocks_op(numerators: Tensor, weights: Tensor | None, logarithmic: bool, triton: bool) -> Tensor:
    """First item and end of each item's block, ``[2, lists, items]`` int32."""
    return (launch if triton else cpu).blocks(numerators, weights, logarithmic=logarithmic)


@blocks_op.register_fake
def _(numerators: Tensor, weights: Tensor | None, logarithmic: bool, triton: bool) -> Tensor:
    return numerators.new_empty((2, *numerators.shape), dtype=torch.int32)


@torch.library.custom_op("rankgrad::isotonic_block_sum", mutates_args=())
def block_sum_op(x: Tensor, blocks: Tensor, triton: bool) -> Tensor:
    """At every item of ``[lists, items]`` the sum of ``x`` over its block."""
    return (launch if triton else cpu).block_sum(x, blocks)


@block_sum_op.register_fake
def _(x: Tensor, blocks: Tensor, triton: bool) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.triton = inputs[2]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    # Item i receives item j's share exactly where j receives i's.
    return block_sum_op(gradient, ctx.saved_tensors[0], ctx.triton), None, None


block_sum_op.register_autograd(_backward, setup_context=_setup)


@torch.library.custom_op("rankgrad::descending_order", mutates_args=())
def order_op(x: Tensor) -> Tensor:
    """What sorts each list in descending order, among equals by place; int64. No NaN may be in ``x``."""
    return stable_order(x, descending=True)


@order_op.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x, dtype=torch.int64, memory_format=torch.contiguous_format)
