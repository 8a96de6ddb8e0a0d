"""Making documents shorter between two layers of an encoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.modules.packing import Layout, PackedSides

TOO_SMALL = 1e-6
"""Weights of a group that add up to less say nothing."""


class Merged(NamedTuple):
    """Packed tokens after merging.

    Shape:
        hidden: ``[total', hidden]``.
        kept: int64 ``[total']``, the token that each begins with.
    """

    hidden: Tensor
    sides: PackedSides
    kept: Tensor


def merge_tokens(hidden: Tensor, weights: Tensor, sides: PackedSides, *, ratio: int) -> Merged:
    """Replace every ``ratio`` neighbouring words of a document by their weighted mean.

    A group's mean is ``sum_i w_i h_i / sum_i w_i``; where its weights are all (nearly) zero, it is the plain mean.
    Query tokens and special tokens stay as they are; the last group of a document may be smaller.

    Args:
        ratio: words a group; 1 changes nothing.

    Shape:
        hidden: ``[total, hidden]``; weights: ``[total]``, at least 0

    Reference:
        Token compression of bge-reranker-v2.5-gemma2-lightweight (Beijing Academy of Artificial Intelligence, 2024).

    Example:
        >>> document_side = torch.tensor([False, True, True, True])
        >>> sides = PackedSides(Layout((4,), document_side.device), document_side, document_side)
        >>> hidden, weights = torch.tensor([[0.0], [1.0], [3.0], [5.0]]), torch.tensor([1.0, 0.0, 0.0, 2.0])
        >>> merged = merge_tokens(hidden, weights, sides, ratio=2)
        >>> merged.hidden.tolist(), merged.sides.layout.lengths, merged.kept.tolist()
        ([[0.0], [2.0], [5.0]], (3,), [0, 1, 3])
    """
    layout = sides.layout
    mergeable = sides.document_side & sides.words
    # Words are counted through the row; a document's first word, and any behind a token that stays, counts from 0.
    counted = torch.arange(layout.total, device=hidden.device)
    before = torch.cat((mergeable.new_zeros(1), mergeable[:-1]))
    new_text = ~before | (layout.positions == 0)
    since = torch.where(mergeable & ~new_text, torch.zeros_like(counted), counted).cummax(0).values
    begins = ~mergeable | ((counted - since) % ratio == 0)
    group = begins.long().cumsum(0) - 1
    lengths = torch.zeros(len(layout.lengths), dtype=torch.int64, device=hidden.device)
    lengths = lengths.index_add(0, layout.owners, begins.long())
    shorter = Layout(tuple(lengths.tolist()), layout.device)
    kept = counted[begins]

    weights = weights.to(hidden.dtype)
    total = weights.new_zeros(shorter.total).index_add(0, group, weights)
    weights = torch.where((total > TOO_SMALL)[group], weights, torch.ones_like(weights))
    total = weights.new_zeros(shorter.total).index_add(0, group, weights)
    # A token that stays is its own group: dividing it by its own weight would only add rounding.
    share = torch.where(mergeable, weights / total[group], torch.ones_like(weights))
    merged = hidden.new_zeros(shorter.total, hidden.shape[1]).index_add(0, group, hidden * share[:, None])
    return Merged(merged, PackedSides(shorter, sides.document_side[kept], sides.words[kept]), kept)
