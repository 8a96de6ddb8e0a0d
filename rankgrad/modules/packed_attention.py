"""Attention within packed sequences, as an attention function of transformers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rankgrad._checks import require
from rankgrad.modules.packing import Layout, PackedSides, Run

NAME = "rankgrad_packed"
NEVER = -1e4
_HALF = (torch.float16, torch.bfloat16)


@dataclass
class PackedAttention:
    """What attention must know of a packed batch; it travels through the encoder as the keyword ``packed``.

    Args:
        sides: the sequences and the two texts in them.
        bias: one number added to every attention score between the two texts of a pair; None = 0.
        lists: the list of each sequence, int64 ``[sequences]``: tokens also attend to the first token of the other
            sequences of their list; None = to their own sequence alone.
        watch: keep what the first tokens attend to in ``received``, float ``[total]``.
    """

    sides: PackedSides
    bias: Tensor | None = None
    lists: Tensor | None = None
    watch: bool = False
    received: Tensor | None = None
    _masks: dict[tuple[int | None, torch.dtype], list[Tensor | None]] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        """Where the sequences lie."""
        return self.sides.layout

    @property
    def plain(self) -> bool:
        """Whether nothing is added to the attention scores."""
        return self.bias is None and self.lists is None

    def masks(self, window: int | None, dtype: torch.dtype) -> list[Tensor | None]:
        """What is added to the scores of each run, ``[count, 1, width, keys]``.

        Made once a forward pass; in each layer where the bias learns, so that a layer can be computed again by itself.
        """
        known = self._masks.get((window, dtype))
        if known is not None:
            return known
        masks = [self._mask(run, window) for run in self.layout.runs]
        made = [None if mask is None else mask.to(dtype) for mask in masks]
        if not (torch.is_grad_enabled() and self.bias is not None and self.bias.requires_grad):
            self._masks[window, dtype] = made
        return made

    def _mask(self, run: Run, window: int | None) -> Tensor | None:
        tokens = slice(run.start, run.start + run.count * run.width)
        sides = self.sides.document_side[tokens].unflatten(0, (run.count, run.width))
        return self.added(sides, None, torch.arange(run.first, run.first + run.count, device=sides.device), window)

    def added(self, sides: Tensor, real: Tensor | None, rows: Tensor, window: int | None) -> Tensor | None:
        """What is added to the scores of some sequences in rows of one width.

        Shape:
            sides, real: bool ``[rows, width]``; rows: int64 ``[rows]``, which sequences they are
        """
        width = sides.shape[1]
        mask = None
        if self.bias is not None:
            across = sides[:, None, None, :] != sides[:, None, :, None]
            mask = torch.where(across, self.bias, torch.zeros_like(self.bias))
        if window is not None and width > window:
            place = torch.arange(width, device=sides.device)
            far = (place[:, None] - place).abs() >= window
            mask = torch.zeros_like(far, dtype=torch.float32)[None, None] if mask is None else mask
            mask = mask.masked_fill(far, NEVER)
        if real is not None:
            mask = torch.zeros((), device=sides.device) if mask is None else mask
            mask = torch.where(real[:, None, None, :], mask, NEVER)
        if self.lists is None:
            return mask
        own = torch.zeros((), device=sides.device) if mask is None else mask
        numbers = torch.arange(len(self.lists), device=sides.device)
        others = (self.lists[rows, None] == self.lists) & (rows[:, None] != numbers)
        seen = torch.where(others, 0.0, NEVER)[:, None, None, :].expand(-1, 1, width, -1)
        return torch.cat((own.expand(len(rows), 1, width, width), seen), dim=-1)


@cache
def register() -> None:
    """Tell transformers about :func:`attend`; padded batches get the masks and the arithmetic of ``sdpa``."""
    transformers = require("transformers", "text")
    masks = require("transformers.masking_utils", "text")
    padded = require("transformers.integrations.sdpa_attention", "text").sdpa_attention_forward

    def attention(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        packed: PackedAttention | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        if packed is None:
            return padded(module, query, key, value, attention_mask, **options)
        return attend(query, key, value, packed, **options), None

    transformers.AttentionInterface.register(NAME, attention)
    masks.AttentionMaskInterface.register(NAME, masks.sdpa_mask)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: PackedAttention,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> Tensor:
    """Attention within the sequences of a packed batch, by the way that suits the device.

    Args:
        others: what transformers hands to every attention function, of no meaning here.

    Shape:
        query, key, value: ``[1, heads, total, dim]`` -> ``[1, total, heads, dim]``
    """
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if packed.watch:
        packed.received = _attended_by_first(query, key, packed.layout, scale)
    if not query.is_cuda:
        found = by_runs(query, key, value, packed, dropout=dropout, scale=scale, window=sliding_window)
    elif packed.plain and dropout == 0.0 and query.dtype in _HALF and query.shape[-1] % 8 == 0 and _has_kernel():
        found = _by_varlen_kernel(query, key, value, packed.layout, scale=scale, window=sliding_window)
    else:
        found = by_padding(query, key, value, packed, dropout=dropout, scale=scale, window=sliding_window)
    return found[None]


def by_runs(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: PackedAttention,
    *,
    dropout: float,
    scale: float,
    window: int | None,
) -> Tensor:
    """Attention run by run: no padding at all.

    Shape:
        query, key, value: ``[total, heads, dim]`` -> the same
    """
    first = None if packed.lists is None else (key[packed.layout.starts], value[packed.layout.starts])
    found = []
    for run, mask in zip(packed.layout.runs, packed.masks(window, query.dtype), strict=True):
        tokens = slice(run.start, run.start + run.count * run.width)
        rows = [each[tokens].unflatten(0, (run.count, run.width)).transpose(1, 2) for each in (query, key, value)]
        found.append(_scores(rows, first, mask, dropout, scale).transpose(1, 2).flatten(0, 1))
    return torch.cat(found)


def by_padding(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    packed: PackedAttention,
    *,
    dropout: float,
    scale: float,
    window: int | None,
) -> Tensor:
    """Attention on padded rows, the one part of a packed batch that is: one call for all sequences.

    Shape:
        query, key, value: ``[total, heads, dim]`` -> the same
    """
    layout = packed.layout
    first = None if packed.lists is None else (key[layout.starts], value[layout.starts])
    rows = torch.arange(len(layout.lengths), device=layout.device)
    mask = packed.added(layout.pad(packed.sides.document_side), layout.real, rows, window)
    padded = [layout.pad(each).transpose(1, 2) for each in (query, key, value)]
    found = _scores(padded, first, None if mask is None else mask.to(query.dtype), dropout, scale)
    return found.transpose(1, 2)[layout.owners, layout.positions]


def _scores(
    rows: list[Tensor], first: tuple[Tensor, Tensor] | None, mask: Tensor | None, dropout: float, scale: float
) -> Tensor:
    """Attention of rows ``[rows, heads, width, dim]`` to themselves and to the first tokens of all sequences."""
    query, key, value = rows
    if first is not None:
        key, value = (
            torch.cat((own, others.transpose(0, 1).expand(len(own), -1, -1, -1)), dim=2)
            for own, others in zip((key, value), first, strict=True)
        )
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)


@cache
def _has_kernel() -> bool:
    """Whether this torch's kernel takes a scale and a window; the first that had one did not."""
    from torch.nn.attention.varlen import varlen_attn

    return {"scale", "window_size"} <= set(signature(varlen_attn).parameters)


def _by_varlen_kernel(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, *, scale: float, window: int | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    reach = (-1, -1) if window is None else (window - 1, window - 1)
    lengths, width = layout.cu_seqlens, layout.width
    found = varlen_attn(query, key, value, lengths, lengths, width, width, scale=scale, window_size=reach)
    return cast(Tensor, found)


def _attended_by_first(query: Tensor, key: Tensor, layout: Layout, scale: float) -> Tensor:
    """How much of its attention a sequence's first token gives to each token, mean of the heads: ``[total]``."""
    scores = (query[layout.starts][layout.owners].float() * key.float()).sum(-1) * scale
    rows = layout.pad(scores).masked_fill(~layout.real[..., None], -torch.inf).softmax(dim=1)
    return rows.mean(dim=-1)[layout.owners, layout.positions]
