"""A cross-encoder that stops behind an early layer and goes on from there with some of its pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rankgrad._checks import InputError
from rankgrad.data.collate import TextTokens
from rankgrad.models._batches import in_order, sorted_batches
from rankgrad.models._pair_forward import layer_scores
from rankgrad.models.cross_encoder import CrossEncoder
from rankgrad.modules.encoder_layers import Watched, layers_of, with_module
from rankgrad.tokens import Tokens

# As in CrossEncoder.score: more tokens at a time leave a CPU's caches.
_CPU_TOKENS = 2048
_ROWS = 32


class StoppedPairs(NamedTuple):
    """Pairs that an early layer has read.

    Shape:
        scores: float32 ``[pairs]``, of the early layer's head.
        states: of each pair ``[tokens, hidden]``, what the layer gave.
    """

    scores: Tensor
    tokens: Tokens
    states: list[Tensor]


def check_resumable(model: CrossEncoder) -> None:
    """Refuse a model whose pairs cannot go on alone.

    Raises:
        InputError: naming the option that stands in the way.
    """
    if model.listwise:
        raise InputError("listwise=True: a pair's score depends on the others, so none may stop; leave it out")
    if model.options.compress_layer is not None:
        raise InputError("compress_layer: its merged tokens are not kept from layer to layer; leave it out")


def stop(model: CrossEncoder, queries: Sequence[str], documents: Sequence[str], layer: int) -> StoppedPairs:
    """Score pair i = (``queries[i]``, ``documents[i]``) behind ``layer`` layers, and keep what the layer gave."""
    tokens = model.tokenizer(queries, documents)
    seen: list[Tensor] = []
    watching = _with_layers(model, {layer - 1: Watched(_layers(model)[layer - 1], seen.append)})
    rows, scores = [], []
    states: list[Tensor | None] = [None] * len(tokens.input_ids)
    for batch_rows, batch in _batches(watching, tokens):
        rows.append(batch_rows)
        scores.append(layer_scores(watching, batch, (layer,))[0])
        lengths = batch.attention_mask.sum(1).tolist()
        hidden = seen.pop()
        pieces = hidden[0].split(lengths) if watching.packs else _cut(hidden, lengths)
        for row, piece in zip(batch_rows.tolist(), pieces, strict=True):
            states[row] = piece
    return StoppedPairs(in_order(rows, scores), tokens, states)  # type: ignore[arg-type]


def resume(model: CrossEncoder, pairs: StoppedPairs, rows: Sequence[int], layer: int) -> Tensor:
    """The last layer's scores of some of the pairs, float32 ``[rows]``, going on behind ``layer`` layers."""
    chosen = Tokens(*(each[list(rows)] for each in pairs.tokens))
    layers, as_pair = _layers(model), model.encoder.kind.startswith("deberta")
    done: dict[int, nn.Module] = {number: _Passing(layers[number], as_pair=as_pair) for number in range(layer - 1)}
    stored = _Stored(layers[layer - 1], as_pair=as_pair)
    going_on = _with_layers(model, {**done, layer - 1: stored})
    order, scores = [], []
    for batch_rows, batch in _batches(going_on, chosen):
        order.append(batch_rows)
        states = [pairs.states[rows[row]] for row in batch_rows.tolist()]
        stored.hidden = torch.cat(states)[None] if going_on.packs else pad_sequence(states, batch_first=True)
        scores.append(layer_scores(going_on, batch, (model.encoder.depth,))[0])
    return in_order(order, scores)


class _Passing(nn.Module):
    """In a layer's place: gives what it is given, beside None where the encoder expects attention too."""

    def __init__(self, layer: nn.Module, *, as_pair: bool) -> None:
        super().__init__()
        self.attention_type = getattr(layer, "attention_type", None)
        self.as_pair = as_pair

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> Any:
        return (hidden_states, None) if self.as_pair else hidden_states


class _Stored(_Passing):
    """In a layer's place: gives what the layer gave before."""

    hidden: Tensor

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> Any:
        return super().forward(self.hidden)


def _layers(model: CrossEncoder) -> nn.ModuleList:
    return layers_of(model.backbone)[1]


def _with_layers(model: CrossEncoder, new: dict[int, nn.Module]) -> CrossEncoder:
    """A view of the model with other layers at some places; all weights are shared."""
    path, layers = layers_of(model.backbone)
    changed = nn.ModuleList([new.get(number, layer) for number, layer in enumerate(layers)])
    return with_module(model, ["encoder", "backbone", *path.split(".")], changed)  # type: ignore[return-value]


def _batches(model: CrossEncoder, tokens: Tokens) -> Iterator[tuple[np.ndarray, TextTokens]]:
    packed = model.packs
    rows, budget = (None, _CPU_TOKENS) if packed and model.device.type == "cpu" else (_ROWS, None)
    return sorted_batches(tokens, rows, model.device, token_budget=budget, spare_padding=False if packed else None)


def _cut(hidden: Tensor, lengths: Sequence[int]) -> list[Tensor]:
    return [row[:length] for row, length in zip(hidden, lengths, strict=True)]
