"""Picking the tokens of some documents out of a packed collection."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.types import PackedTokens


def gather_packed(packed: PackedTokens, rows: Tensor) -> PackedTokens:
    """The documents ``rows`` int64 ``[n]``, packed again in that order.

    Example:
        >>> packed = PackedTokens(torch.arange(4.0)[:, None], torch.tensor([0, 1, 4], dtype=torch.int32))
        >>> gather_packed(packed, torch.tensor([1, 0])).embeddings.flatten().tolist()
        [1.0, 2.0, 3.0, 0.0]
    """
    starts, lengths = _extents(packed, rows)
    ends = lengths.cumsum(0)
    positions = torch.arange(int(ends[-1]) if len(rows) else 0, device=rows.device)
    positions = positions + (starts - ends + lengths).repeat_interleave(lengths)
    return PackedTokens(packed.embeddings[positions], torch.nn.functional.pad(ends, (1, 0)).to(torch.int32))


def gather_padded(packed: PackedTokens, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The documents ``rows`` int64 ``[queries, n]``, padded: embeddings ``[queries, n, tokens, dim]`` and their mask.

    Example:
        >>> packed = PackedTokens(torch.arange(4.0)[:, None], torch.tensor([0, 1, 4], dtype=torch.int32))
        >>> gather_padded(packed, torch.tensor([[1, 0]]))[1].tolist()
        [[[True, True, True], [True, False, False]]]
    """
    starts, lengths = _extents(packed, rows)
    offsets = torch.arange(max(int(lengths.max()), 1) if rows.numel() else 1, device=rows.device)
    mask = offsets < lengths[..., None]
    positions = (starts[..., None] + offsets).masked_fill(~mask, 0)
    return packed.embeddings[positions], mask


def _extents(packed: PackedTokens, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where each document starts and how many tokens it has, int64."""
    boundaries = packed.cu_seqlens.long()
    return boundaries[rows], boundaries[rows + 1] - boundaries[rows]
