"""The scales of the rows and columns of a matrix by their definition."""

from __future__ import annotations

import torch
from torch import Tensor


def scaling(
    logits: Tensor, iterations: int, tolerance: float | None, *, may_look: bool
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Logarithms of the scales of ``[..., n, n]`` after each iteration.

    Where ``may_look``, iterations end when every list has stopped; else lists that have stopped wait.

    Returns:
        Those of the rows ``[..., n]``, from before the first iteration on; those of the columns; and how many
        iterations each list made ``[...]``.
    """
    columns = [torch.zeros_like(logits[..., 0, :])]
    rows = [-_logsumexp(logits, -1)]
    going = torch.ones_like(columns[0][..., 0], dtype=torch.bool)
    made = torch.zeros_like(going, dtype=torch.int64)
    for _ in range(iterations):
        found = _logsumexp(logits + rows[-1].unsqueeze(-1), -2)
        if tolerance is not None:
            # A column that is not there has scale 1 and a sum of 1.
            off = ((found + columns[-1]).detach().exp() - 1).abs().amax(dim=-1)
            going = going & (off > tolerance)
            if may_look and not going.any():
                break
        made = made + going
        new_rows = -_logsumexp(logits - found.unsqueeze(-2), -1)
        columns.append(torch.where(going.unsqueeze(-1), -found, columns[-1]))
        rows.append(torch.where(going.unsqueeze(-1), new_rows, rows[-1]))
    return rows, columns, made


def scaled(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The exponentials of the logits, scaled."""
    return (logits + rows.unsqueeze(-1) + columns.unsqueeze(-2)).exp()


def _logsumexp(x: Tensor, axis: int) -> Tensor:
    """0 where nothing is finite."""
    empty = x.detach().isneginf().all(dim=axis, keepdim=True)
    return torch.where(empty, 0.0, x).logsumexp(dim=axis).masked_fill(empty.squeeze(axis), 0.0)
