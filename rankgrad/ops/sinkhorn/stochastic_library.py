"""The scaling of a matrix as an operator of torch: it holds no matrix an iteration for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops.sinkhorn.scaling import scaled, scaling


@torch.library.custom_op("rankgrad::matrix_scaling", mutates_args=())
def scaling_op(logits: Tensor, iterations: int, tolerance: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """The scaled matrices ``[lists, n, n]``, logarithms of scales ``[2, iterations + 1, lists, n]``, iterations."""
    rows, columns, made = scaling(logits, iterations, tolerance, may_look=True)
    result = scaled(logits, rows[-1], columns[-1])
    waiting = iterations + 1 - len(rows)
    rows, columns = rows + rows[-1:] * waiting, columns + columns[-1:] * waiting
    return result, torch.stack([torch.stack(rows), torch.stack(columns)]), made


@scaling_op.register_fake
def _(logits: Tensor, iterations: int, tolerance: float | None) -> tuple[Tensor, Tensor, Tensor]:
    lists, n, _ = logits.shape
    scales = logits.new_empty((2, iterations + 1, lists, n))
    return (
        torch.empty_like(logits, memory_format=torch.contiguous_format),
        scales,
        logits.new_empty(lists, dtype=torch.int64),
    )


@torch.library.custom_op("rankgrad::matrix_scaling_backward", mutates_args=())
def scaling_backward_op(gradient: Tensor, logits: Tensor, result: Tensor, scales: Tensor, made: Tensor) -> Tensor:
    """The gradient of the logits: the iterations backwards, each matrix made again from its scales."""
    rows, columns = scales
    total = result * (gradient - (result * gradient).sum(dim=-1, keepdim=True))
    of_columns = total.sum(dim=-2)
    for step in reversed(range(int(made.max()) if made.numel() else 0)):
        going = (step < made).unsqueeze(-1)
        matrix = scaled(logits, rows[step], columns[step + 1])
        matrix *= torch.where(going, of_columns, 0.0).unsqueeze(-2)
        total -= matrix
        of_rows = -matrix.sum(dim=-1)
        matrix = scaled(logits, rows[step], columns[step])
        matrix *= of_rows.unsqueeze(-1)
        total -= matrix
        of_columns = torch.where(going, -matrix.sum(dim=-2), of_columns)
    return total


@scaling_backward_op.register_fake
def _(gradient: Tensor, logits: Tensor, result: Tensor, scales: Tensor, made: Tensor) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1], output[2])
    ctx.save_for_backward(inputs[0], *output)


def _backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return scaling_backward_op(gradient, *ctx.saved_tensors), None, None


scaling_op.register_autograd(_backward, setup_context=_setup)
