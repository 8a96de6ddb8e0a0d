"""How much of a MaxSim one program holds."""

from __future__ import annotations

from typing import NamedTuple

import torch

from rankgrad._checks import InputError

_NARROW = (torch.float16, torch.bfloat16)
WIDEST = 1024


class Tiles(NamedTuple):
    """Sizes that a kernel is compiled for; the lengths and counts of a call are not among them.

    Args:
        queries: queries whose rows share a tile.
        slots: rows of one query in it, a power of two.
        tokens: document tokens at a time.
        dims: columns at a time; the whole width where it fits.
        warps: warps a program.
        stages: loads in flight.
    """

    queries: int
    slots: int
    tokens: int
    dims: int
    warps: int
    stages: int

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return self.queries * self.slots


def forward_tiles(query_count: int, query_tokens: int, dim: int, dtype: torch.dtype, *, own: bool) -> Tiles:
    """Tiles of the forward pass: one query of up to 128 tokens, or as many shorter ones as fill 128 rows.

    Example:
        >>> forward_tiles(64, 32, 128, torch.bfloat16, own=False)
        Tiles(queries=4, slots=32, tokens=64, dims=128, warps=8, stages=3)
        >>> forward_tiles(1, 32, 128, torch.bfloat16, own=False)
        Tiles(queries=1, slots=32, tokens=64, dims=128, warps=4, stages=3)
    """
    narrow = dtype in _NARROW
    most = 128 if narrow else 64
    slots = min(max(_power(query_tokens), 16), most)
    queries = 1 if own else min(most // slots, _power(query_count))
    # A width in parts reads the queries again with each part: smaller parts leave room for both operands.
    dims = min(_dims(dim), 128 if dim <= 128 else 64)
    return Tiles(queries, slots, 64 if narrow else 32, dims, 8 if queries * slots >= most else 4, 3 if narrow else 2)


def documents_tiles(dim: int, dtype: torch.dtype) -> Tiles:
    """Tiles of the documents' gradient; many tokens, since each program reads all query rows."""
    return Tiles(1, 64, 128, _dims(dim), 8, 2) if dtype in _NARROW else Tiles(1, 32, 32, _dims(dim), 8, 2)


def queries_tiles(dim: int, dtype: torch.dtype) -> Tiles:
    """Tiles of the queries' gradient under a soft maximum."""
    return Tiles(1, 64, 64, _dims(dim), 8, 2) if dtype in _NARROW else Tiles(1, 32, 32, _dims(dim), 8, 2)


def check_width(dim: int) -> None:
    """Refuse a width that no kernel is compiled for."""
    if not 0 < dim <= WIDEST:
        raise InputError(
            f'backend: "triton" cannot run: the kernels take widths from 1 to {WIDEST}, got {dim}; use "reference"'
        )


def _dims(dim: int) -> int:
    return min(max(_power(dim), 16), 128)


def _power(number: int) -> int:
    """The power of two from ``number`` up."""
    return 1 << max(number - 1, 0).bit_length()
