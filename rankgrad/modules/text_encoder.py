"""A transformers encoder that takes tokens and gives hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules import encoder_layers, packed_attention
from rankgrad.modules.packed_attention import NEVER, PackedAttention
from rankgrad.modules.packing import PackedSides

# Those whose attention goes through transformers' attention functions and knows positions from ``position_ids`` alone.
_PACKABLE = frozenset({"bert", "camembert", "distilbert", "electra", "modernbert", "roberta", "xlm-roberta"})
# Those whose states between two layers are known to be what a head can read.
_LAYERED = _PACKABLE | {"deberta", "deberta-v2"}


class PackedStates(NamedTuple):
    """Hidden states ``[total, hidden]`` of packed sequences, and which tokens they are."""

    hidden: Tensor
    sides: PackedSides


class TextEncoder(nn.Module):
    """Wrap any ``AutoModel`` encoder: token ids in, last hidden states out.

    Encoders of the BERT, RoBERTa, ELECTRA, DistilBERT and ModernBERT families also read packed sequences, see
    :meth:`packed`. For that their attention function is replaced by one that does what ``sdpa`` does with padded ones;
    what was loaded with another attention (``eager``, flash) keeps it and is not packed.

    Args:
        backbone: a transformers encoder, or a model with a head on one. Inputs that its ``forward`` does not name are
            not passed on.

    Shape:
        - input_ids, attention_mask, token_type_ids, position_ids: int64 ``[batch, tokens]``
        - returns: ``[batch, tokens, hidden]`` in the backbone's dtype

    Example:
        >>> import torch
        >>> from transformers import BertConfig, BertModel
        >>> size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
        >>> encoder = TextEncoder(BertModel(BertConfig(**size)))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> encoder(ids, torch.ones_like(ids)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        inner = self.inner
        names = signature(inner.forward).parameters
        self.takes_segments = "token_type_ids" in names and getattr(backbone.config, "type_vocab_size", 2) > 1
        self.takes_positions = "position_ids" in names
        # RoBERTa counts positions from behind its padding index, BERT from 0.
        padding = getattr(getattr(inner, "embeddings", None), "padding_idx", None)
        self.first_position = 0 if padding is None else int(padding) + 1
        self.kind = str(getattr(backbone.config, "model_type", ""))
        switch = getattr(backbone, "set_attn_implementation", None)
        if switch is not None and self.kind in _PACKABLE and self._attention in ("sdpa", packed_attention.NAME):
            packed_attention.register()
            switch(packed_attention.NAME)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Another process may not know the attention function yet."""
        super().__setstate__(state)
        if self.packs:
            packed_attention.register()

    @property
    def packs(self) -> bool:
        """Whether :meth:`packed` can be called."""
        return self._attention == packed_attention.NAME

    @property
    def _attention(self) -> str | None:
        return getattr(self.backbone.config, "_attn_implementation", None)

    @property
    def inner(self) -> nn.Module:
        """The encoder without a head."""
        return getattr(self.backbone, getattr(self.backbone, "base_model_prefix", ""), self.backbone)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return int(self.backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def depth(self) -> int:
        """How many layers there are."""
        return int(self.backbone.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Encode a padded batch.

        Args:
            attention_mask: int64 ``[batch, tokens]``, or float ``[batch, 1, tokens, tokens]`` that is added to the
                attention scores.
            position_ids: counted from 0; None = the usual ones.
        """
        return self._run(self.backbone, input_ids, token_type_ids, position_ids, attention_mask=attention_mask)

    def at_layers(
        self,
        layers: Sequence[int],
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> list[Tensor]:
        """Encode a padded batch with so many layers each; those behind the highest are not run."""
        view, seen = self._view(layers)
        last = self._run(view, input_ids, token_type_ids, position_ids, attention_mask=attention_mask)
        return [last if layer == max(layers) else self._normed(seen[layer]) for layer in layers]

    def packed(
        self,
        input_ids: Tensor,
        attention: PackedAttention,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        layers: Sequence[int] | None = None,
        merge: tuple[int, int] | None = None,
    ) -> list[PackedStates]:
        """Encode packed sequences: nothing is padded.

        Args:
            attention: which sequence each token belongs to, and what is added to attention scores.
            position_ids: counted from 0 in each sequence; None = the places in the sequences.
            layers: give the states behind so many layers each; those behind the highest are not run. None = the last.
            merge: merge document tokens behind so many layers, by such a ratio.

        Shape:
            input_ids, token_type_ids, position_ids: int64 ``[total]``

        Raises:
            InputError: for an encoder that cannot do so.
        """
        if not self.packs:
            raise InputError(f"packed batches: {self.kind} cannot read them; choose padding='grouped'")
        layers = layers or [self.depth]
        positions = attention.layout.positions if position_ids is None else position_ids
        merging = None if merge is None else encoder_layers.Merging(attention, layer=merge[0], ratio=merge[1])
        view, seen = self._view(layers, merging)
        # Of four dimensions, a mask is handed on as it is: none is made for all pairs of tokens.
        nothing = torch.zeros(1, 1, 1, 1, device=input_ids.device)
        segments = None if token_type_ids is None else token_type_ids[None]
        options = {"attention_mask": nothing, "packed": attention}
        last = self._run(view, input_ids[None], segments, positions[None], **options)
        found = []
        for layer in layers:
            hidden = last if layer == max(layers) else self._normed(seen[layer])
            read = attention if merging is None else merging.at(layer)
            found.append(PackedStates(hidden[0], read.sides))
        return found

    def check_layers(self) -> None:
        """Refuse an encoder whose states between two layers are not known to be what a head can read.

        Raises:
            InputError: naming its kind.
        """
        if self.kind not in _LAYERED:
            raise InputError(f"exits and compression: the layers of {self.kind} are not known; leave them out")

    def _view(
        self, layers: Sequence[int], merging: encoder_layers.Merging | None = None
    ) -> tuple[nn.Module, dict[int, Tensor]]:
        """The encoder cut behind the highest of ``layers``, and where it will put what the lower ones give."""
        inner, seen = self.inner, {}
        if merging is None and tuple(layers) == (self.depth,):
            return inner, seen
        self.check_layers()
        wrapped: list[nn.Module] = []
        for number, layer in enumerate(list(encoder_layers.layers_of(inner)[1])[: max(layers)]):
            view = layer if merging is None else merging.wrap(number, layer)
            if number + 1 in layers and number + 1 < max(layers):

                def keep(hidden: Tensor, place: int = number + 1) -> None:
                    seen[place] = hidden

                view = encoder_layers.Watched(view, keep)
            wrapped.append(view)
        return encoder_layers.with_layers(inner, wrapped), seen

    def _run(
        self,
        encoder: nn.Module,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        **options: Any,
    ) -> Tensor:
        inputs: dict[str, Any] = {"input_ids": input_ids, **options}
        mask = inputs["attention_mask"]
        if self.kind == "modernbert" and mask.dim() == 4 and "packed" not in options:
            # A mask of four dimensions would be taken as it is by the layers that see a window only.
            inputs["attention_mask"] = {"full_attention": mask, "sliding_attention": self._windowed(mask)}
        if self.takes_positions and position_ids is not None:
            inputs["position_ids"] = position_ids + self.first_position
        if self.takes_segments and token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return encoder(**inputs).last_hidden_state

    def _windowed(self, mask: Tensor) -> Tensor:
        place = torch.arange(mask.shape[-1], device=mask.device)
        far = (place[:, None] - place).abs() > self.inner.config.sliding_window  # type: ignore[union-attr, operator]
        return mask.masked_fill(far, NEVER)

    def _normed(self, hidden: Tensor) -> Tensor:
        """ModernBERT's states are normalised behind the last layer only."""
        norm = getattr(self.inner, "final_norm", None)
        return hidden if norm is None else norm(hidden)
