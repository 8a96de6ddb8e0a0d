"""Making documents shorter between two layers, on padded rows."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules.encoder_layers import MergingLayer
from rankgrad.modules.padded_attention import PaddedAttention
from rankgrad.modules.token_merge import TOO_SMALL


class MergedRows(NamedTuple):
    """Padded rows after merging, as wide as the longest of them is now.

    Shape:
        hidden: ``[rows, tokens', hidden]``.
        real: bool ``[rows, tokens']``.
        kept: int64 ``[rows, tokens']``, the token that each begins with; 0 in padding.
    """

    hidden: Tensor
    real: Tensor
    kept: Tensor


def merge_rows(hidden: Tensor, weights: Tensor, mergeable: Tensor, real: Tensor, *, ratio: int) -> MergedRows:
    """What :func:`rankgrad.modules.token_merge.merge_tokens` does, on padded rows and with operators that ONNX has.

    Args:
        mergeable: True = a word of a document.
        real: True = no padding.
        ratio: words a group.

    Shape:
        hidden: ``[rows, tokens, hidden]``; weights: ``[rows, tokens]``, at least 0; mergeable, real: bool ``[rows,
        tokens]``

    Example:
        >>> hidden = torch.tensor([[[0.0], [1.0], [3.0], [5.0]], [[7.0], [9.0], [0.0], [0.0]]])
        >>> weights = torch.tensor([[1.0, 0.0, 0.0, 2.0], [1.0, 1.0, 0.0, 0.0]])
        >>> real = torch.tensor([[True, True, True, True], [True, True, False, False]])
        >>> mergeable = real & torch.tensor([False, True, True, True])
        >>> merged = merge_rows(hidden, weights, mergeable, real, ratio=2)
        >>> merged.hidden[..., 0].tolist(), merged.kept.tolist()
        ([[0.0, 2.0, 5.0], [7.0, 9.0, 0.0]], [[0, 1, 3], [0, 1, 0]])
    """
    places = torch.arange(hidden.shape[1], device=hidden.device)
    before = torch.cat((torch.zeros_like(mergeable[:, :1]), mergeable[:, :-1]), dim=1)
    # The place of the last token that continues no text: a running maximum, which ONNX lacks, over pairs of places.
    fresh = ~(mergeable & before)
    since = torch.where(fresh[:, None, :] & (places <= places[:, None]), places, 0).amax(dim=-1)
    begins = real & (~mergeable | ((places - since) % ratio == 0))
    lengths = begins.long().sum(dim=1)
    slots = torch.arange(_width(lengths, hidden.shape[1]), device=hidden.device)
    members = (begins.long().cumsum(dim=1)[:, None, :] == slots[:, None] + 1) & real[:, None, :]
    kept = torch.where(members & begins[:, None, :], places, 0).amax(dim=-1)

    equal = members.to(hidden.dtype)
    held = equal * weights.to(hidden.dtype)[:, None, :]
    held = torch.where(held.sum(dim=-1, keepdim=True) > TOO_SMALL, held, equal)
    # A slot behind the end of its row holds nothing.
    share = held / held.sum(dim=-1, keepdim=True).clamp(min=TOO_SMALL)
    return MergedRows(share @ hidden, slots < lengths[:, None], kept)


class PaddedMerging:
    """Token merging inside passes over padded rows, one after the other; between two of them nothing is kept.

    See :class:`rankgrad.modules.encoder_layers.Merging`.
    """

    def __init__(self, *, layer: int, ratio: int) -> None:
        self.layer, self.ratio = layer, ratio
        self.padded: PaddedAttention | None = None
        self.watched: PaddedAttention | None = None
        self.shorter: PaddedAttention | None = None
        self.kept: Tensor | None = None

    def begin(self, padded: PaddedAttention) -> None:
        """Start a pass.

        Args:
            padded: what the layers before are given.
        """
        self.padded = self.shorter = padded
        # A compiler that reads along does not know dataclasses.replace.
        self.watched = PaddedAttention(
            padded.document_side, padded.words, padded.real, padded.bias, padded.listwise, watch=True
        )

    def end(self, number: int) -> PaddedAttention:
        """End a pass of ``number`` layers: what describes the tokens that came out of it."""
        found = self.padded if number <= self.layer else self.shorter
        self.padded = self.watched = self.shorter = self.kept = None
        return cast(PaddedAttention, found)

    def wrap(self, number: int, layer: nn.Module) -> nn.Module:
        """The layer that stands at ``number``, counted from 0."""
        return layer if number < self.layer - 1 else MergingLayer(layer, self, number)

    def merge(self, hidden: Tensor) -> Tensor:
        """Merge the tokens in front of layer ``layer``."""
        padded = self.padded
        received = None if self.watched is None else self.watched.received
        if padded is None or received is None:
            raise InputError("this encoder's attention was not seen: leave out compress_layer")
        mergeable = padded.document_side & padded.words
        merged = merge_rows(hidden, received, mergeable, padded.real, ratio=self.ratio)
        side, words = (each.gather(1, merged.kept) & merged.real for each in (padded.document_side, padded.words))
        self.shorter = PaddedAttention(side, words, merged.real, padded.bias, padded.listwise)
        self.kept = merged.kept
        return merged.hidden

    def rotated(self, table: Tensor) -> Tensor:
        """The rows of a table of rotations ``[1 or rows, tokens, dim]`` that belong to the tokens kept."""
        if self.kept is None:
            raise InputError("nothing was merged yet: call merge first")
        places = self.kept[:, :, None].expand(-1, -1, table.shape[-1])
        return table.expand(self.kept.shape[0], -1, -1).gather(1, places)


def _width(lengths: Tensor, before: int) -> int:
    """The longest length; a tracer, which does not know it, must be told its bounds."""
    # A compiler takes a width of 1 for another program; no pair is shorter than its two special tokens.
    width = cast(int, lengths.max().clamp(min=2).item())
    torch._check(width >= 2)
    torch._check(width <= before)
    return width
