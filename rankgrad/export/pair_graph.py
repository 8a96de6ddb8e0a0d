"""A cross-encoder whose candidates see each other, or whose documents get shorter, on padded rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.models import CrossEncoder
from rankgrad.models._pair_forward import _read, _special
from rankgrad.modules.cross_attention import restarted_positions
from rankgrad.modules.encoder_layers import layers_of, with_layers
from rankgrad.modules.padded_attention import PaddedAttention, padded_attention
from rankgrad.modules.padded_merge import PaddedMerging


class PairGraph(nn.Module):
    """What :func:`rankgrad.models._pair_forward.packed_scores` gives, of padded rows.

    Args:
        model: a listwise or compressing one.
        layer: score behind so many layers.

    Shape:
        input_ids, attention_mask, token_type_ids: int64 ``[rows, tokens]``, padding behind the tokens; of a listwise
        model the rows are all candidates of one query -> float32 ``[rows, 1]``
    """

    def __init__(self, model: CrossEncoder, layer: int) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Score the rows."""
        model, encoder = self.model, self.model.encoder
        real, document_side = attention_mask.bool(), token_type_ids.bool()
        bias = None if model.across is None else model.across.bias
        words = real & ~_special(model, input_ids)
        padded = PaddedAttention(document_side, words, real, bias, listwise=model.listwise)
        if model.across is None:
            positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
            segments = token_type_ids
        else:
            positions, segments = restarted_positions(document_side), torch.zeros_like(token_type_ids)
        layers = list(layers_of(encoder.inner)[1])[: self.layer]
        merging = None
        if model.options.merge is not None:
            merging = PaddedMerging(padded, layer=model.options.merge[0], ratio=model.options.merge[1])
            layers = [merging.wrap(number, layer) for number, layer in enumerate(layers)]
        # Of four dimensions, a mask is handed on as it is: none is made for all pairs of tokens.
        options = {"attention_mask": torch.zeros(1, 1, 1, 1, device=input_ids.device), "packed": padded}
        with padded_attention(model.backbone):
            hidden = encoder._run(with_layers(encoder.inner, layers), input_ids, segments, positions, **options)
        read = padded if merging is None else merging.at(self.layer)
        sides = (read.words & ~read.document_side, read.words & read.document_side)
        return _read(model, self.layer, hidden, read.real.long(), *sides).unsqueeze(-1)
