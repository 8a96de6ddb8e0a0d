"""The iterations of short lists as an operator of torch: one node, O(n) numbers an iteration for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import as_lists
from rankgrad.ops.sinkhorn import dense
from rankgrad.ops.sinkhorn.problem import Problem


@torch.library.custom_op("rankgrad::transport_potentials", mutates_args=())
def potentials_op(
    points: Tensor, places: Tensor, columns: Tensor, real: Tensor, iterations: int, tolerance: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Potentials of the places and of the items ``[lists, n]``, the scales and stops, see :func:`dense.scales`."""
    found, stops = dense.scales(points, places, columns, real, iterations, tolerance)
    of_rows, of_columns = (found[side, -1].log() for side in (0, 1))
    return of_rows - columns.masked_fill(~real, float("inf")), of_columns + columns, found, stops


@potentials_op.register_fake
def _(
    points: Tensor, places: Tensor, columns: Tensor, real: Tensor, iterations: int, tolerance: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, items = (torch.empty_like(points, memory_format=torch.contiguous_format) for _ in range(2))
    stops = points.new_empty(len(points), dtype=torch.int64)
    return rows, items, points.new_empty((2, iterations + 1, *points.shape)), stops


@torch.library.custom_op("rankgrad::transport_potentials_backward", mutates_args=())
def potentials_backward_op(
    of_rows: Tensor,
    of_columns: Tensor,
    points: Tensor,
    places: Tensor,
    columns: Tensor,
    real: Tensor,
    found: Tensor,
    stops: Tensor,
) -> tuple[Tensor, Tensor]:
    """The gradients of the points and of the columns."""
    return dense.gradients(of_rows, of_columns, points, places, columns, real, found, stops)


@potentials_backward_op.register_fake
def _(of_rows: Tensor, of_columns: Tensor, points: Tensor, *_rest: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(points), torch.empty_like(points)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[2:])
    ctx.save_for_backward(*inputs[:4], *output[2:])


def _backward(ctx: Any, of_rows: Tensor, of_columns: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    d_points, d_columns = potentials_backward_op(of_rows, of_columns, *ctx.saved_tensors)
    return d_points, None, d_columns, None, None, None


potentials_op.register_autograd(_backward, setup_context=_setup)


def potentials(problem: Problem, iterations: int, tolerance: float | None) -> tuple[Tensor, Tensor]:
    """What ``iterations.potentials`` gives, to rounding, of any leading axes."""
    points, places, columns, real = (as_lists(each) for each in problem[:4])
    rows, items, *_ = potentials_op(points, places, columns, real, iterations, tolerance)
    return rows.view(problem.points.shape), items.view(problem.points.shape)
