"""From tokenized pairs to scores, on padded or packed tokens, behind the last layer or earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rankgrad.data.collate import TextTokens
from rankgrad.modules.classifier import Classifier
from rankgrad.modules.cross_attention import restarted_positions
from rankgrad.modules.packed_attention import PackedAttention
from rankgrad.modules.packing import Layout, PackedSides

if TYPE_CHECKING:
    from rankgrad.models.cross_encoder import CrossEncoder


def layer_scores(model: CrossEncoder, tokens: TextTokens, layers: Sequence[int], lists: Tensor | None = None) -> Tensor:
    """Score the rows of a padded batch in the way that the model asks for: float32 ``[layers, rows]``."""
    if model.packs:
        return packed_scores(model, tokens, layers, lists)
    return padded_scores(model, tokens.input_ids, tokens.attention_mask, tokens.token_type_ids, layers)


def padded_scores(
    model: CrossEncoder,
    input_ids: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor,
    layers: Sequence[int],
) -> Tensor:
    """Score padded pairs: float32 ``[layers, rows]``."""
    encoder = model.encoder
    if model.across is None:
        if tuple(layers) == (encoder.depth,):
            inputs = {"token_type_ids": token_type_ids} if encoder.takes_segments else {}
            logits = model.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs).logits
            return logits.float().squeeze(-1)[None]
        states = encoder.at_layers(layers, input_ids, attention_mask, token_type_ids)
    else:
        document_side = token_type_ids.bool()
        mask = model.across(attention_mask, document_side)
        positions = restarted_positions(document_side)
        states = encoder.at_layers(layers, input_ids, mask, torch.zeros_like(token_type_ids), positions)
    words = attention_mask.bool() & ~_special(model, input_ids)
    sides = (words & ~token_type_ids.bool(), words & token_type_ids.bool())
    scores = [_read(model, layer, hidden, attention_mask, *sides) for layer, hidden in zip(layers, states, strict=True)]
    return torch.stack(scores)


def packed_scores(
    model: CrossEncoder, tokens: TextTokens, layers: Sequence[int], lists: Tensor | None = None
) -> Tensor:
    """Score pairs without padding: float32 ``[layers, rows]``.

    Args:
        lists: the list that each row belongs to, for a model that looks across lists.
    """
    attended = tokens.attention_mask.bool()
    layout = Layout.of(attended)
    input_ids, segments = tokens.input_ids[attended], tokens.token_type_ids[attended]
    sides = PackedSides(layout, segments.bool(), ~_special(model, input_ids))
    if model.across is None:
        attention, positions = PackedAttention(sides, lists=lists), None
    else:
        attention = PackedAttention(sides, bias=model.across.bias, lists=lists)
        positions = restarted_positions(layout.pad(sides.document_side))[layout.owners, layout.positions]
        segments = torch.zeros_like(segments)
    found = model.encoder.packed(input_ids, attention, segments, positions, layers=layers, merge=model.options.merge)
    scores = []
    for layer, (hidden, read) in zip(layers, found, strict=True):
        rows = read.layout
        if _reads_first_only(model):
            mask = rows.starts.new_ones(len(rows.lengths), 1)
            scores.append(_read(model, layer, hidden[rows.starts][:, None], mask, mask.bool(), mask.bool()))
        else:
            query, document = (rows.pad(read.words & side) for side in (~read.document_side, read.document_side))
            scores.append(_read(model, layer, rows.pad(hidden), rows.real.long(), query, document))
    return torch.stack(scores)


def _read(
    model: CrossEncoder,
    layer: int,
    hidden: Tensor,
    attention_mask: Tensor,
    query_side: Tensor,
    document_side: Tensor,
    *,
    classifier: Classifier | None = None,
) -> Tensor:
    head = model.head if layer == model.encoder.depth else model.exit_heads[str(layer)]
    if head is None:
        return (classifier or Classifier(model.backbone))(hidden, attention_mask).float().squeeze(-1)
    return head(hidden, query_side, document_side).float()


def _reads_first_only(model: CrossEncoder) -> bool:
    """Whether the heads look at nothing but the first token; ModernBERT's classifier may read the mean."""
    return model.across is None and getattr(model.backbone.config, "classifier_pooling", "cls") == "cls"


def _special(model: CrossEncoder, input_ids: Tensor) -> Tensor:
    return torch.eq(input_ids.unsqueeze(-1), model.special_ids).any(-1)
