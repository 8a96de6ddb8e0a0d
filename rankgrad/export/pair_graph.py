"""A cross-encoder whose candidates see each other, or whose documents get shorter, on padded rows."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from rankgrad.data.collate import TextTokens
from rankgrad.models import CrossEncoder
from rankgrad.models._pair_forward import _read, _special, packed_scores
from rankgrad.modules.classifier import Classifier
from rankgrad.modules.cross_attention import restarted_positions
from rankgrad.modules.encoder_layers import layers_of, with_layers
from rankgrad.modules.padded_attention import PaddedAttention, attend_by_padded
from rankgrad.modules.padded_merge import PaddedMerging


class PairGraph(nn.Module):
    """What :func:`rankgrad.models._pair_forward.packed_scores` gives, of padded rows.

    Args:
        model: a listwise or compressing one; it is left as it is, and its weights are shared, not copied.
        layer: score behind so many layers.

    Shape:
        input_ids, attention_mask, token_type_ids: int64 ``[rows, tokens]``, padding behind the tokens; of a listwise
        model the rows are all candidates of one query -> float32 ``[rows, 1]``
    """

    def __init__(self, model: CrossEncoder, layer: int) -> None:
        super().__init__()
        self.model, self.layer = _with_same_weights(model), layer
        attend_by_padded(self.model.backbone)
        layers: list[nn.Module] = list(layers_of(self.model.encoder.inner)[1])[:layer]
        self.merging = None
        if model.options.merge is not None:
            self.merging = PaddedMerging(layer=model.options.merge[0], ratio=model.options.merge[1])
            layers = [self.merging.wrap(number, each) for number, each in enumerate(layers)]
        self.inner = with_layers(self.model.encoder.inner, layers)
        self.classifier = Classifier(self.model.backbone) if self.model.head is None else None

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
        if self.merging is not None:
            self.merging.begin(padded)
        # Of four dimensions, a mask is handed on as it is: none is made for all pairs of tokens.
        options = {"attention_mask": torch.zeros(1, 1, 1, 1, device=input_ids.device), "packed": padded}
        hidden = encoder._run(self.inner, input_ids, segments, positions, **options)
        read = padded if self.merging is None else self.merging.end(self.layer)
        sides = (read.words & ~read.document_side, read.words & read.document_side)
        return _read(model, self.layer, hidden, read.real.long(), *sides, classifier=self.classifier).unsqueeze(-1)


def packed_logits(model: CrossEncoder, rows: TextTokens, layer: int) -> Tensor:
    """What :class:`PairGraph` must give, by the model itself, without padding: float32 ``[rows, 1]``."""
    lists = torch.zeros_like(rows.input_ids[:, 0]) if model.listwise else None
    return packed_scores(model, rows, (layer,), lists)[0].unsqueeze(-1)


def _with_same_weights(model: CrossEncoder) -> CrossEncoder:
    """A copy of all but the tensors."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})
