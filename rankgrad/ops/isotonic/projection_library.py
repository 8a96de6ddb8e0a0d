"""The projection on a CPU as an operator of torch: opaque to the compiler, differentiable once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankgrad.ops._order import readable
from rankgrad.ops.isotonic import cpu_projection
from rankgrad.ops.isotonic.cpu_projection import Projection


@torch.library.custom_op("rankgrad::permutahedron", mutates_args=())
def projection_op(
    x: Tensor, mask: Tensor, temperature: float, ranks: bool, logarithmic: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The projection ``[lists, items]``, and what the backward pass needs: places int64 and begins bool."""
    return cpu_projection.forward(x, mask, Projection(temperature, ranks, logarithmic))


@projection_op.register_fake
def _(x: Tensor, mask: Tensor, temperature: float, ranks: bool, logarithmic: bool) -> tuple[Tensor, Tensor, Tensor]:
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    return result, x.new_empty(x.shape, dtype=torch.int64), x.new_empty(x.shape, dtype=torch.bool)


@torch.library.custom_op("rankgrad::permutahedron_backward", mutates_args=())
def projection_backward_op(
    gradient: Tensor,
    x: Tensor,
    mask: Tensor,
    result: Tensor,
    places: Tensor,
    begins: Tensor,
    temperature: float,
    ranks: bool,
    logarithmic: bool,
) -> Tensor:
    """The gradient of x."""
    return cpu_projection.backward(
        gradient, x, mask, result, places, begins, Projection(temperature, ranks, logarithmic)
    )


@projection_backward_op.register_fake
def _(gradient: Tensor, x: Tensor, *_rest: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.save_for_backward(*inputs[:2], *output)
    ctx.options = inputs[2:]


def _backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return projection_backward_op(gradient, *ctx.saved_tensors, *ctx.options), None, None, None, None


projection_op.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The operator without its bookkeeping, which for short lists takes longer than the work."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor, temperature: float, ranks: bool, logarithmic: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = cpu_projection.forward(x, mask, Projection(temperature, ranks, logarithmic))
        _setup(ctx, (x, mask, temperature, ranks, logarithmic), found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, mask, result, places, begins = ctx.saved_tensors
        found = cpu_projection.backward(gradient, x, mask, result, places, begins, Projection(*ctx.options))
        return found, None, None, None, None


def projection(x: Tensor, mask: Tensor, temperature: float, *, ranks: bool, logarithmic: bool) -> Tensor:
    """The projection ``[lists, items]`` by its shortest way."""
    run = _Eager.apply if readable(x) else projection_op
    return run(x, mask, temperature, ranks, logarithmic)[0]
