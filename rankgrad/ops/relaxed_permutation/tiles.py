"""Products with a relaxed permutation in tiles that stay in a cache: NeuralSort, and SoftSort with power 2."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops._arguments import full_precision
from rankgrad.ops.relaxed_permutation.positions import REACH, Positions, bands, positions

_BLOCK = 32
_TILE_ELEMENTS = 1 << 19
# So many numbers of lists have their positions at hand together.
_GROUP_ELEMENTS = 1 << 17
# Exponents of a wide block would lose too many digits in float32; few of its weights are not 0.
_WIDE = 128.0


class _Rows(NamedTuple):
    """A block of rows of some lists, seen from the place in its middle."""

    positions: Positions
    start: int
    stop: int
    centre: int
    factors: Tensor  # [lists, rows, 3]

    @property
    def dtype(self) -> torch.dtype:
        return self.factors.dtype


def multiply(
    ordered: Tensor, weights: Tensor, temperature: float, *, square: bool, transpose: bool, moments: bool
) -> tuple[Tensor, Tensor | None]:
    """``sum_j E_kj w_j`` or, transposed, ``sum_i E_ik w_i``; E has 1 on its diagonal.

    Args:
        ordered: values in descending order, ``[lists, n]``.
        weights: ``[lists, dim, n]``.
        temperature: above 0.
        square: SoftSort with power 2, symmetric, else NeuralSort.
        transpose: sum over rows.
        moments: also give ``sum_j (u_j - u_k) E_kj w_j`` (of the square), or ``sum_i (k - i) E_ik w_i``.

    Example:
        >>> ordered = torch.tensor([[2.0, 1.0]])
        >>> multiply(ordered, torch.ones(1, 1, 2), 1.0, square=False, transpose=False, moments=False)[0]
        tensor([[[1.3679, 1.3679]]])
    """
    count, dim, n = weights.shape
    result = torch.zeros((count, dim * (1 + moments), n), dtype=weights.dtype, device=weights.device)
    if not result.numel():
        return result[:, :dim], result[:, dim:] if moments else None
    block = min(n, _BLOCK)
    group = max(1, _GROUP_ELEMENTS // n)
    with full_precision(weights.device):
        for first in range(0, count, group):
            lists = positions(ordered[first : first + group], temperature, square=square)
            for start, low, high in zip(range(0, n, block), *bands(lists, block, REACH[weights.dtype]), strict=True):
                width = max(1, _TILE_ELEMENTS // block)
                # Of many weights an item it is they that fill a cache.
                step = max(1, _TILE_ELEMENTS // ((high - low) * max(block, dim * (1 + moments))))
                for one in range(0, len(lists.values), step):
                    some = slice(first + one, min(first + one + step, first + group))
                    rows = _rows(lists.part(slice(one, one + step)), start, min(start + block, n), weights.dtype)
                    for left in range(low, high, width):
                        columns = slice(left, min(left + width, high))
                        _add(result[some], weights[some], rows, columns, transpose, moments)
    return result[:, :dim], result[:, dim:] if moments else None


def _add(result: Tensor, weights: Tensor, rows: _Rows, columns: slice, transpose: bool, moments: bool) -> None:
    """Add a tile's share to the result."""
    dim = weights.shape[1]
    tile = _tile(rows, columns)
    places = slice(rows.start, rows.stop)
    given, taken = (places, columns) if transpose else (columns, places)
    operand = weights[..., given].to(rows.dtype)
    if moments:
        # Seen from the middle of the rows, since a difference of far places would lose digits.
        operand = torch.cat([operand, operand * _offsets(rows, given)], dim=1)
    product = torch.bmm(operand, tile if transpose else tile.transpose(1, 2))
    if moments:
        moment = product[:, :dim] * _offsets(rows, taken)
        moment = moment - product[:, dim:] if transpose else product[:, dim:] - moment
        result[:, dim:, taken] += moment
    result[:, :dim, taken] += product[:, :dim]


def _rows(lists: Positions, start: int, stop: int, dtype: torch.dtype) -> _Rows:
    """Rows of a block, with ``E_ij = exp(factors_i . (1, -D_cj, u_j - u_c))``, c the place in the middle."""
    centre = (start + stop) // 2
    empty = _Rows(lists, start, stop, centre, lists.values)
    own, apart = _from_centre(empty, slice(start, stop))
    slope = 2 * apart if lists.heights is None else -2 * _offsets(empty, slice(start, stop)).squeeze(1).expand_as(apart)
    factors = torch.stack([own - slope * apart, torch.ones_like(own), slope], dim=2)
    narrow = bool(own.amax() <= _WIDE)
    return empty._replace(factors=factors.to(dtype if narrow else torch.float64))


def _tile(rows: _Rows, columns: slice) -> Tensor:
    """The weights E of a block's rows at some columns, ``[lists, rows, columns]``."""
    distance, apart = _from_centre(rows, columns)
    right = torch.stack([torch.ones_like(distance), -distance, apart], dim=1).to(rows.dtype)
    return torch.bmm(rows.factors, right).exp_()


def _from_centre(rows: _Rows, places: slice) -> tuple[Tensor, Tensor]:
    """D of the middle row at some places, and how far they are above it."""
    values, heights, _ = rows.positions
    apart = values[:, places] - values[:, rows.centre, None]
    if heights is None:
        return apart.square(), apart
    return heights[:, places] - heights[:, rows.centre, None] + 2 * rows.centre * apart, apart


def _offsets(rows: _Rows, places: slice) -> Tensor:
    """What moments are of, from the middle of the rows, ``[lists or 1, 1, places]``."""
    moments = rows.positions.moments
    return (moments[:, places] - moments[:, rows.centre, None]).unsqueeze(1).to(rows.dtype)
