"""Sinkhorn's iterations on potentials, whatever makes the product of the matrix with a vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rankgrad.ops.sinkhorn.problem import Problem

# (places, points, rows, columns, weights, transpose) -> the plan, or its transpose, times the weights
Product = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, bool], Tensor]


def potentials(
    problem: Problem, iterations: int, tolerance: float | None, product: Product, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Potentials of the places and of the items; rows of the matrix then sum to 1.

    A list stops by itself where no column is off by more than the tolerance: its result never depends on other lists.
    """
    points, places, columns, real = problem[:4]
    ones = real.unsqueeze(-1).to(dtype)

    def logarithms(rows: Tensor, columns: Tensor, transpose: bool) -> Tensor:
        sums = product(places, points, rows, columns, ones, transpose).squeeze(-1)
        return sums.masked_fill(~real, 1.0).to(points.dtype).log()

    # In the hard order's potentials item k is the highest of row k; with that 1, no sum overflows or vanishes.
    # A sum's own potential is divided out again, so no gradient is due through it.
    rows = -columns.detach().masked_fill(~real, float("inf"))
    rows = rows - logarithms(rows, columns, False)
    going = torch.ones_like(problem.unknown)
    for _ in range(iterations):
        off = logarithms(rows, columns.detach(), True)
        if tolerance is not None:
            going = going & ((off.detach().exp() - 1).abs().amax(dim=-1, keepdim=True) > tolerance)
            if _may_look(going) and not going.any():
                break
        new_columns = columns.detach() - off
        new_rows = rows.detach() - logarithms(rows.detach(), new_columns, False)
        columns, rows = torch.where(going, new_columns, columns), torch.where(going, new_rows, rows)
    return rows, columns


def _may_look(x: Tensor) -> bool:
    """May the host read a value? Where it may not, lists that have stopped wait for the last iteration."""
    return not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export() or x.device.type == "meta")
