"""Iterations of short lists: one matrix of exponentials, scaled, while it stays in the cache.

``docs/ops/sinkhorn.md`` derives the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# A matrix of so many items, in float64, is half of a cache of a megabyte.
LONGEST = 256
_ELEMENTS = 1 << 16


def scales(
    points: Tensor, places: Tensor, columns: Tensor, real: Tensor, iterations: int, tolerance: float | None
) -> tuple[Tensor, Tensor]:
    """Scales of the rows and of the columns after each iteration, ``[2, iterations + 1, lists, n]``.

    They are those of the matrix of the hard order's potentials: ``columns`` and their negatives. A list stops by itself
    where no column is off by more than the tolerance, and keeps its scales from there on.

    Returns:
        The scales, and how many iterations each list made, ``[lists]``.
    """
    lists, n = points.shape
    result = points.new_ones((2, iterations + 1, lists, n, 1))
    stops = torch.full((lists,), iterations, device=points.device)
    for some, matrix in _matrices(points, places, columns, real):
        # The sum of what is not there is 1.
        gone = (~real[some]).unsqueeze(-1).to(points.dtype)
        of_rows = of_columns = torch.ones_like(gone)
        going = torch.ones_like(gone[:, :1], dtype=torch.bool)
        for made in range(iterations + 1):
            rows_before, columns_before = of_rows, of_columns
            if made:
                of_columns = result[1, made, some]
                torch.baddbmm(gone, matrix.mT, of_rows, out=of_columns).reciprocal_()
                if tolerance is not None:
                    going = going & ((columns_before / of_columns - 1).abs().amax(dim=1, keepdim=True) > tolerance)
                    of_columns.copy_(of_columns.where(going, columns_before))
                    stops[some].clamp_(max=going.flatten() * iterations + made - 1)
                    if not going.any():
                        result[0, made:, some], result[1, made:, some] = rows_before, columns_before
                        break
            of_rows = result[0, made, some]
            torch.baddbmm(gone, matrix, of_columns, out=of_rows).reciprocal_()
            if made and tolerance is not None:
                of_rows.copy_(of_rows.where(going, rows_before))
    return result.squeeze(-1), stops


def gradients(
    of_rows: Tensor,
    of_columns: Tensor,
    points: Tensor,
    places: Tensor,
    columns: Tensor,
    real: Tensor,
    found: Tensor,
    stops: Tensor,
) -> tuple[Tensor, Tensor]:
    """The gradients of the points and of the columns to start from, given those of the last scales' logarithms.

    They are those of the iterations that each list made.
    """
    d_points, d_columns = torch.zeros_like(points), torch.zeros_like(columns)
    for some, matrix in _matrices(points, places, columns, real):
        rows, cols = found[:, :, some].unsqueeze(-1)
        wanted, passed = (each[some].unsqueeze(-1) for each in (of_rows, of_columns))
        upper, lower = [], []
        last = int(stops[some].max())
        for made in range(last, -1, -1):
            # Of lists that had stopped before, this iteration takes nothing and changes nothing.
            going = (stops[some] >= made)[:, None, None] if bool((stops[some] < made).any()) else None
            weighted = rows[made] * wanted
            if going is not None:
                weighted = weighted.where(going, 0.0)
            pulled = torch.bmm(matrix.mT, weighted).mul_(cols[made])
            passed = pulled.neg_() if passed is None else passed - pulled
            upper.append(weighted)
            lower.append(cols[made])
            if made:
                weighted = cols[made] * passed
                if going is not None:
                    weighted = weighted.where(going, 0.0)
                upper.append(rows[made - 1])
                lower.append(weighted)
                turned = torch.bmm(matrix, weighted).mul_(rows[made - 1]).neg_()
                wanted = turned if going is None else turned.where(going, wanted)
                passed = None if going is None else passed.masked_fill(going, 0.0)
            else:
                d_columns[some] = passed.squeeze(-1)
        above, below, here = torch.cat(upper, dim=-1), torch.cat(lower, dim=-1), places[some].unsqueeze(-1)
        pulled = torch.bmm(matrix.mT, here * above) - here * torch.bmm(matrix.mT, above)
        d_points[some] = -(below * pulled).sum(dim=-1)
    return d_points.masked_fill(~real, 0.0), d_columns.masked_fill(~real, 0.0)


def _matrices(points: Tensor, places: Tensor, columns: Tensor, real: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Which lists, and ``exp((place_k - place_i) point_i - column_k + column_i)``, 0 where nothing is."""
    lists, n = points.shape
    step = max(1, _ELEMENTS // max(n, 1) ** 2)
    if not points.numel():
        return
    start_at = columns.masked_fill(~real, 0.0)
    own = start_at - places * points
    for start in range(0, lists, step):
        some = slice(start, min(start + step, lists))
        there, here = real[some].unsqueeze(-1), real[some].unsqueeze(-2)
        exponents = torch.addcmul(
            own[some].unsqueeze(-2) - start_at[some].unsqueeze(-1),
            places[some].unsqueeze(-1),
            points[some].unsqueeze(-2),
        )
        # Numbers below the normal ones take processors a hundred times the time.
        exponents.masked_fill_(~(there & here) | (exponents < -700.0), float("-inf"))
        yield some, exponents.exp_()
