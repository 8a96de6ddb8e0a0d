"""Sorting by kernels as operators of torch: opaque to the compiler, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops.sorted_order import launch


@torch.library.custom_op("rankgrad::sorted_lists", mutates_args=())
def sorted_lists_op(x: Tensor, mask: Tensor | None, descending: bool) -> tuple[Tensor, Tensor]:
    """The values of ``[lists, n]`` in order, and the order (int64)."""
    return launch.sorted_lists(x, mask, descending=descending)


@sorted_lists_op.register_fake
def _(x: Tensor, mask: Tensor | None, descending: bool) -> tuple[Tensor, Tensor]:
    found = torch.empty_like(x, memory_format=torch.contiguous_format)
    return found, torch.empty_like(found, dtype=torch.int64)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _backward(ctx: Any, gradient: Tensor, _order: Any) -> tuple[Tensor, None, None]:
    (order,) = ctx.saved_tensors
    return torch.zeros_like(gradient).scatter(1, order, gradient), None, None


sorted_lists_op.register_autograd(_backward, setup_context=_setup)


@torch.library.custom_op("rankgrad::list_ranks", mutates_args=())
def ranks_op(x: Tensor, mask: Tensor | None, descending: bool) -> Tensor:
    """1-based ranks of ``[lists, n]`` in float32."""
    return launch.ranks(x, mask, descending=descending)


@ranks_op.register_fake
def _(x: Tensor, mask: Tensor | None, descending: bool) -> Tensor:
    return torch.empty_like(x, dtype=torch.float32, memory_format=torch.contiguous_format)
