"""Attention within padded rows, and from each row to the others, in plain arithmetic that graphs are traced from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import require
from rankgrad.modules.packed_attention import NEVER

NAME = "rankgrad_padded"


@dataclass
class PaddedAttention:
    """What attention must know of padded rows; it travels through the encoder as the keyword ``packed``.

    It says of rows with padding what :class:`rankgrad.modules.packed_attention.PackedAttention` says of rows without.

    Args:
        document_side: True = the second text of its pair.
        words: True = no special token, and no padding.
        real: True = no padding.
        bias: one number added to every attention score between the two texts of a pair; None = 0.
        listwise: the rows are one list: tokens also attend to the first token of every other row.
        watch: keep what the first tokens attend to in ``received``, ``[rows, tokens]``.

    Shape:
        document_side, words, real: bool ``[rows, tokens]``
    """

    document_side: Tensor
    words: Tensor
    real: Tensor
    bias: Tensor | None = None
    listwise: bool = False
    watch: bool = False
    received: Tensor | None = None
    _masks: dict[int | None, Tensor] = field(default_factory=dict)

    def own(self, window: int | None) -> Tensor:
        """What is added to a row's scores of its own tokens: ``[rows, 1, 1 or tokens, tokens]``."""
        known = self._masks.get(window)
        if known is not None:
            return known
        mask = torch.zeros((), device=self.real.device)
        if self.bias is not None:
            across = self.document_side[:, None, None, :] != self.document_side[:, None, :, None]
            mask = torch.where(across, self.bias.float(), mask)
        if window is not None:
            place = torch.arange(self.real.shape[1], device=self.real.device)
            mask = torch.where((place[:, None] - place).abs() >= window, NEVER, mask)
        self._masks[window] = torch.where(self.real[:, None, None, :], mask, NEVER)
        return self._masks[window]

    def others(self) -> Tensor:
        """What is added to a row's scores of the first tokens of all rows: ``[rows, 1, 1, rows]``."""
        numbers = torch.arange(self.real.shape[0], device=self.real.device)
        return torch.where(numbers[:, None] == numbers, NEVER, 0.0)[:, None, None, :]


def attend_padded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padded: PaddedAttention,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> Tensor:
    """Attention of padded rows to themselves and, in a list, to the first tokens of the other rows; without dropout.

    Args:
        others: what transformers hands to every attention function, of no meaning here.

    Shape:
        query, key, value: ``[rows, heads, tokens, dim]`` -> ``[rows, tokens, heads, dim]``

    Example:
        >>> import torch
        >>> yes = torch.ones(2, 1, dtype=torch.bool)
        >>> key, value = torch.zeros(2, 1, 1, 1), torch.tensor([2.0, 4.0])[:, None, None, None]
        >>> attend_padded(key, key, value, PaddedAttention(yes, yes, yes)).flatten().tolist()
        [2.0, 4.0]
        >>> attend_padded(key, key, value, PaddedAttention(yes, yes, yes, listwise=True)).flatten().tolist()
        [3.0, 3.0]
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if padded.watch:
        first = (query[:, :, :1].float() @ key.float().transpose(2, 3)) * scale
        first = first.masked_fill(~padded.real[:, None, None, :], -torch.inf).softmax(dim=-1)
        padded.received = first.mean(dim=1)[:, 0]
    scores = (query @ key.transpose(2, 3)) * scale + padded.own(sliding_window).to(query.dtype)
    if not padded.listwise:
        return (scores.softmax(dim=-1) @ value).transpose(1, 2)
    # The first tokens of all rows are one matrix, which no row needs a copy of.
    keys, values = key[:, :, 0].permute(1, 2, 0), value[:, :, 0].transpose(0, 1)
    seen = (query @ keys) * scale + padded.others().to(query.dtype)
    weights = torch.cat((scores, seen), dim=-1).softmax(dim=-1)
    width = scores.shape[-1]
    return (weights[..., :width] @ value + weights[..., width:] @ values).transpose(1, 2)


def attend_by_padded(backbone: nn.Module) -> None:
    """Have an encoder attend by :func:`attend_padded` from now on, as what travels as ``packed`` says.

    It changes the encoder for all who use it: for a copy.
    """
    _register()
    model: Any = backbone
    model.set_attn_implementation(NAME)


@cache
def _register() -> None:
    transformers = require("transformers", "text")
    masks = require("transformers.masking_utils", "text")

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        *,
        packed: PaddedAttention,
        **options: Any,
    ) -> tuple[Tensor, None]:
        return attend_padded(query, key, value, packed, **options), None

    transformers.AttentionInterface.register(NAME, attention)
    masks.AttentionMaskInterface.register(NAME, masks.eager_mask)
