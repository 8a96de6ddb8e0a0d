"""Networks as operators of torch: opaque to the compiler, differentiable, with shapes known beforehand."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from rankgrad.ops.sorting_network import cpu, launch
from rankgrad.ops.sorting_network.distributions import Distribution
from rankgrad.ops.sorting_network.wiring import Network, layer_count


@torch.library.custom_op("rankgrad::network_wires", mutates_args=())
def wires_op(
    x: Tensor, count: Tensor, temperature: float, network: str, distribution: str, keep: bool, triton: bool
) -> Tensor:
    """What stands on the wires of ``[lists, n]`` before each layer and after the last, ``[layers + 1, lists, n]``.

    The first ``count [lists]`` items are real. Without ``keep``, which a gradient needs, only what comes out.
    """
    chosen = cast(Network, network), cast(Distribution, distribution)
    return (launch if triton else cpu).wires(x, count, temperature, *chosen, keep)


@wires_op.register_fake
def _(
    x: Tensor, count: Tensor, temperature: float, network: str, distribution: str, keep: bool, triton: bool
) -> Tensor:
    lists, n = x.shape
    layers = layer_count(cast(Network, network), n) + 1 if keep else 1
    return x.new_empty((layers, lists, n)) if triton else x.new_empty((layers, n, lists)).mT


@torch.library.custom_op("rankgrad::network_wires_backward", mutates_args=())
def wires_backward_op(
    gradients: Tensor, found: Tensor, count: Tensor, temperature: float, network: str, distribution: str, triton: bool
) -> Tensor:
    """The gradient of the values ``[lists, n]``."""
    chosen = cast(Network, network), cast(Distribution, distribution)
    return (launch if triton else cpu).wires_backward(gradients, found, count, temperature, *chosen)


@wires_backward_op.register_fake
def _(gradients: Tensor, found: Tensor, *_rest: Any) -> Tensor:
    return found.new_empty(found.shape[1:])


def _setup_wires(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, count, *ctx.options, _, ctx.triton = inputs
    ctx.save_for_backward(output, count)


def _backward_wires(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
    return wires_backward_op(gradients, *ctx.saved_tensors, *ctx.options, ctx.triton), *[None] * 6


wires_op.register_autograd(_backward_wires, setup_context=_setup_wires)


@torch.library.custom_op("rankgrad::network_push", mutates_args=())
def push_op(share: Tensor, values: Tensor, network: str, reverse: bool, triton: bool) -> Tensor:
    """``values [lists, n, d]`` through comparators that keep ``share [layers, lists, n]``, or backwards."""
    return (launch if triton else cpu).push(share, values, cast(Network, network), reverse)


@push_op.register_fake
def _(share: Tensor, values: Tensor, network: str, reverse: bool, triton: bool) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


@torch.library.custom_op("rankgrad::network_push_backward", mutates_args=())
def push_backward_op(
    gradient: Tensor, share: Tensor, values: Tensor, network: str, reverse: bool, triton: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of the shares and of the values."""
    return (launch if triton else cpu).push_backward(gradient, share, values, cast(Network, network), reverse)


@push_backward_op.register_fake
def _(gradient: Tensor, share: Tensor, values: Tensor, *_rest: Any) -> tuple[Tensor, Tensor]:
    shape = torch.contiguous_format
    return torch.empty_like(share, memory_format=shape), torch.empty_like(values, memory_format=shape)


def _setup_push(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    share, values, *ctx.options = inputs
    ctx.save_for_backward(share, values)


def _backward_push(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return *push_backward_op(gradient, *ctx.saved_tensors, *ctx.options), None, None, None


push_op.register_autograd(_backward_push, setup_context=_setup_push)
