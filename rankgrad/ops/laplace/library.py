"""Laplace operators of torch: opaque to the compiler, differentiable, with shapes known beforehand."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops.laplace import cpu, launch, long_launch, rank_passes, threshold_passes
from rankgrad.ops.laplace.lists import Scan, SortedLists


@torch.library.custom_op("rankgrad::laplace_ranks", mutates_args=())
def ranks_op(values: Tensor, mask: Tensor | None, temperature: float, triton: bool) -> tuple[Tensor, Tensor]:
    """Ranks of ``values [lists, n]`` in their accumulation dtype, and the descending order."""
    if not values.numel():
        return _empty_ranks(values, triton)
    if triton:
        return _rank_kernels(values).ranks(values, mask, temperature)
    lists, scan = _prepare(values, mask, _constant(values, temperature), None, triton)
    return rank_passes.ranks(lists, scan, values, mask), lists.order


@ranks_op.register_fake
def _(values: Tensor, mask: Tensor | None, temperature: float, triton: bool) -> tuple[Tensor, Tensor]:
    return _empty_ranks(values, triton)


@torch.library.custom_op("rankgrad::laplace_ranks_backward", mutates_args=())
def ranks_backward_op(
    upstream: Tensor, values: Tensor, mask: Tensor | None, order: Tensor, temperature: float, triton: bool
) -> Tensor:
    """The gradient of the values, in their dtype."""
    if not values.numel():
        return _empty(values, values.dtype)
    if triton:
        return _rank_kernels(values).ranks_gradient(values, mask, temperature, order, upstream)
    lists, scan = _prepare(values, mask, _constant(values, temperature), order, triton)
    return rank_passes.gradient(lists, scan, values, mask, temperature, upstream)


@ranks_backward_op.register_fake
def _(upstream: Tensor, values: Tensor, mask: Tensor | None, order: Tensor, temperature: float, triton: bool) -> Tensor:
    return _empty(values, values.dtype)


def _setup_ranks(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    values, mask, *ctx.options = inputs
    ctx.save_for_backward(values, mask, output[1])


def _ranks_backward(ctx: Any, upstream: Tensor, _order: Any) -> tuple[Tensor | None, ...]:
    return ranks_backward_op(upstream, *ctx.saved_tensors, *ctx.options), None, None, None


ranks_op.register_autograd(_ranks_backward, setup_context=_setup_ranks)


@torch.library.custom_op("rankgrad::laplace_thresholds", mutates_args=())
def thresholds_op(
    values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor, triton: bool
) -> tuple[Tensor, Tensor]:
    """Thresholds of ``counts [lists, m]`` at ``temperature [lists]``, and the descending order of the values."""
    if not (values.numel() and counts.numel()):
        return _empty(counts, counts.dtype).zero_(), _empty(values, _order_dtype(triton)).zero_()
    lists, scan = _prepare(values, mask, temperature, None, triton)
    found = threshold_passes.thresholds(lists, scan, values, mask, counts)
    return found, lists.order.to(_order_dtype(triton))


@thresholds_op.register_fake
def _(values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor, triton: bool) -> tuple[Tensor, Tensor]:
    return _empty(counts, counts.dtype), _empty(values, _order_dtype(triton))


@torch.library.custom_op("rankgrad::laplace_thresholds_backward", mutates_args=())
def thresholds_backward_op(
    upstream: Tensor,
    values: Tensor,
    mask: Tensor | None,
    counts: Tensor,
    temperature: Tensor,
    order: Tensor,
    triton: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of values, counts and temperature."""
    if not (values.numel() and counts.numel()):
        return _nothing(values), _nothing(counts), _nothing(temperature)
    lists, scan = _prepare(values, mask, temperature, order, triton)
    return threshold_passes.thresholds_gradient(lists, scan, values, mask, counts, upstream)


@thresholds_backward_op.register_fake
def _(
    upstream: Tensor,
    values: Tensor,
    mask: Tensor | None,
    counts: Tensor,
    temperature: Tensor,
    order: Tensor,
    triton: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(values, values.dtype), _empty(counts, counts.dtype), _empty(temperature, temperature.dtype)


def _setup_thresholds(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *operands, ctx.triton = inputs
    ctx.save_for_backward(*operands, output[1])


def _thresholds_backward(ctx: Any, upstream: Tensor, _order: Any) -> tuple[Tensor | None, ...]:
    values, counts, temperature = thresholds_backward_op(upstream, *ctx.saved_tensors, ctx.triton)
    return values, None, counts, temperature, None


thresholds_op.register_autograd(_thresholds_backward, setup_context=_setup_thresholds)


@torch.library.custom_op("rankgrad::laplace_weights", mutates_args=())
def weights_op(
    values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor, triton: bool
) -> tuple[Tensor, Tensor]:
    """Weights that sum to ``counts [lists]``, and distances from the threshold over the temperature."""
    if not values.numel():
        return _empty_weights(values)
    lists, scan = _prepare(values, mask, temperature, None, triton)
    distance = threshold_passes.distances(lists, scan, values, counts)
    return threshold_passes.weights(values, mask, distance), distance


@weights_op.register_fake
def _(values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor, triton: bool) -> tuple[Tensor, Tensor]:
    return _empty_weights(values)


@torch.library.custom_op("rankgrad::laplace_weights_backward", mutates_args=())
def weights_backward_op(
    upstream: Tensor, values: Tensor, mask: Tensor | None, temperature: Tensor, distance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of values, counts and temperature."""
    if not values.numel():
        return _nothing(values), _nothing(temperature), _nothing(temperature)
    return threshold_passes.weights_gradient(values, mask, temperature, distance, upstream)


@weights_backward_op.register_fake
def _(
    upstream: Tensor, values: Tensor, mask: Tensor | None, temperature: Tensor, distance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(values, values.dtype), _empty(temperature, temperature.dtype), _empty(temperature, temperature.dtype)


def _setup_weights(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    values, mask, _, temperature, _ = inputs
    ctx.save_for_backward(values, mask, temperature, output[1])


def _weights_backward(ctx: Any, upstream: Tensor, _distance: Any) -> tuple[Tensor | None, ...]:
    values, counts, temperature = weights_backward_op(upstream, *ctx.saved_tensors)
    return values, None, counts, temperature, None


weights_op.register_autograd(_weights_backward, setup_context=_setup_weights)


def _prepare(
    values: Tensor, mask: Tensor | None, temperature: Tensor, order: Tensor | None, triton: bool
) -> tuple[SortedLists, Scan]:
    module = launch if triton else cpu
    lists = module.sort(values, mask, temperature.unsqueeze(1), order)
    return lists, module.scanner(lists)


def _rank_kernels(values: Tensor) -> ModuleType:
    return launch if values.shape[1] <= launch.LONGEST else long_launch


def _constant(values: Tensor, temperature: float) -> Tensor:
    return torch.full((len(values),), temperature, dtype=torch.float64, device=values.device)


def _order_dtype(triton: bool) -> torch.dtype:
    """int32 suffices, and kernels write it; on a CPU the conversion would take longer than it saves."""
    return torch.int32 if triton else torch.int64


def _empty(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(x, dtype=dtype, memory_format=torch.contiguous_format)


def _nothing(x: Tensor) -> Tensor:
    return _empty(x, x.dtype).zero_()


def _empty_ranks(values: Tensor, triton: bool) -> tuple[Tensor, Tensor]:
    return _empty(values, accumulation_dtype(values=values)), _empty(values, _order_dtype(triton))


def _empty_weights(values: Tensor) -> tuple[Tensor, Tensor]:
    dtype = accumulation_dtype(values=values)
    return _empty(values, dtype), _empty(values, dtype)
