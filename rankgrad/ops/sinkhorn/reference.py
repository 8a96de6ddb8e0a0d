"""The plan and its products by their definition."""

from __future__ import annotations

import torch
from torch import Tensor


def plan(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``exp((place_k - place_i) point_i + row_k + column_i)``, ``[..., k, i]``.

    An item's own place is taken off, so that the derivative by a point is made of what is near the diagonal.

    Example:
        >>> zero = torch.zeros(2)
        >>> plan(torch.tensor([1.0, -1.0]), torch.tensor([0.0, -1.0]), zero, zero)
        tensor([[1.0000, 0.1353],
                [1.0000, 1.0000]])
    """
    apart = places.unsqueeze(-1) - places.unsqueeze(-2)
    return torch.exp(apart * points.unsqueeze(-2) + rows.unsqueeze(-1) + columns.unsqueeze(-2))


def product(places: Tensor, points: Tensor, rows: Tensor, columns: Tensor, weights: Tensor, transpose: bool) -> Tensor:
    """The plan, or its transpose, times ``weights [..., n, d]``; the plan is held."""
    matrix = plan(places, points, rows, columns)
    return ((matrix.mT if transpose else matrix) @ weights.to(matrix.dtype)).to(weights.dtype)
