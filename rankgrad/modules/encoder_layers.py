"""The layers of a transformers encoder: running the first few only, and looking or changing in between."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules.packed_attention import PackedAttention
from rankgrad.modules.token_merge import merge_tokens


def layers_of(encoder: nn.Module) -> tuple[str, nn.ModuleList]:
    """The path and the list of an encoder's layers.

    Raises:
        InputError: when no list in it has as many entries as the configuration has layers.
    """
    count = encoder.config.num_hidden_layers  # type: ignore[union-attr]
    for path, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return path, module
    raise InputError(f"{type(encoder).__name__} has no list of {count} layers: leave out exits and compression")


def with_layers(encoder: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """The encoder with other layers: a view that shares all weights; the encoder itself is left as it is.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> size = dict(hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=8, vocab_size=20)
        >>> encoder = BertModel(BertConfig(**size))
        >>> shorter = with_layers(encoder, encoder.encoder.layer[:1])
        >>> len(shorter.encoder.layer), len(encoder.encoder.layer)
        (1, 3)
    """
    path, _ = layers_of(encoder)
    return with_module(encoder, path.split("."), nn.ModuleList(layers))


def with_module(module: nn.Module, path: Sequence[str], new: nn.Module) -> nn.Module:
    """A view of ``module`` in which what lies at ``path`` is ``new``; everything else is shared."""
    view = copy.copy(module)
    # What torch.compile stored would run the original.
    view.__dict__["_compiled_call_impl"] = None
    inner = new if len(path) == 1 else with_module(module.get_submodule(path[0]), path[1:], new)
    view.__dict__["_modules"] = {**module._modules, path[0]: inner}
    return view


class Watched(nn.Module):
    """A layer whose output is also handed to ``seen``."""

    def __init__(self, layer: nn.Module, seen: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.layer, self.seen = layer, seen
        self.attention_type = getattr(layer, "attention_type", None)

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> Any:
        output = self.layer(hidden_states, *arguments, **options)
        self.seen(output[0] if isinstance(output, tuple) else output)
        return output


class Merging:
    """Token merging inside one forward pass: ``wrap`` is given every layer in order.

    Args:
        packed: what the layers before are given.
        layer: the number of layers that read every token.
        ratio: see :func:`rankgrad.modules.token_merge.merge_tokens`.
    """

    def __init__(self, packed: PackedAttention, *, layer: int, ratio: int) -> None:
        self.packed, self.layer, self.ratio = packed, layer, ratio
        self.watched = replace(packed, watch=True)
        self.shorter = packed
        self.kept: Tensor | None = None

    def wrap(self, number: int, layer: nn.Module) -> nn.Module:
        """The layer that stands at ``number``, counted from 0."""
        return layer if number < self.layer - 1 else MergingLayer(layer, self, number)

    def at(self, number: int) -> PackedAttention:
        """What describes the tokens behind ``number`` layers."""
        return self.packed if number <= self.layer else self.shorter

    def merge(self, hidden: Tensor) -> Tensor:
        """Merge the tokens in front of layer ``layer``."""
        received = self.watched.received
        if received is None:
            raise InputError("this encoder's attention was not seen: leave out compress_layer")
        merged = merge_tokens(hidden[0], received, self.packed.sides, ratio=self.ratio)
        self.shorter = PackedAttention(merged.sides, self.packed.bias, self.packed.lists)
        self.kept = merged.kept
        return merged.hidden[None]

    def rotated(self, table: Tensor) -> Tensor:
        """The rows of a table of rotations ``[1, total, dim]`` that belong to the tokens kept."""
        return table[:, self.kept]


class LayerMerging(Protocol):
    """What a layer asks of the merging that it takes part in; ``watched`` and ``shorter`` go to its attention."""

    layer: int
    watched: Any
    shorter: Any

    def merge(self, hidden: Tensor) -> Tensor: ...

    def rotated(self, table: Tensor) -> Tensor: ...


class MergingLayer(nn.Module):
    """A layer from the last one that reads every token on: it is watched, merges first, or reads what was merged."""

    def __init__(self, layer: nn.Module, merging: LayerMerging, number: int) -> None:
        super().__init__()
        self.layer, self.merging, self.number = layer, merging, number
        self.attention_type = getattr(layer, "attention_type", None)

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> Any:
        merging = self.merging
        if self.number < merging.layer:
            return self.layer(hidden_states, *arguments, **{**options, "packed": merging.watched})
        if self.number == merging.layer:
            hidden_states = merging.merge(hidden_states)
        options["packed"] = merging.shorter
        rotation = options.get("position_embeddings")
        if rotation is not None:
            options["position_embeddings"] = tuple(merging.rotated(each) for each in rotation)
        return self.layer(hidden_states, *arguments, **options)
