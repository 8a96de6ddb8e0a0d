"""A sequence classifier of one label whose head is made of parts: pooling, then layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.modules.pooling import POOLINGS, StatePooling, pool_states


class PooledClassifier(nn.Module):
    """An encoder, one vector of its last states, and layers that make the score of it.

    It stands where transformers' ``AutoModelForSequenceClassification`` does: as the backbone of a
    :class:`rankgrad.models.CrossEncoder` with ``head="cls"``. sentence-transformers builds cross-encoders so
    (``Transformer``, ``Pooling``, ``Dense``, ``LayerNorm``, ``Dense``), and reads this one.

    Args:
        encoder: an ``AutoModel`` encoder.
        layers: one after another, the last with one output; what can be saved are
            :class:`rankgrad.modules.ProjectionLayer`, ``nn.LayerNorm`` and ``nn.Dropout``.
        pooling: see :func:`rankgrad.modules.pool_states`; special tokens count as others do.

    Shape:
        - input_ids, attention_mask, token_type_ids: int64 ``[rows, tokens]``
        - returns: ``logits`` ``[rows, 1]``

    Raises:
        InputError: for an unknown pooling, or layers that do not lead from the encoder's width to one score.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
        >>> model = PooledClassifier(BertModel(BertConfig(**size)), [nn.LayerNorm(8), nn.Linear(8, 1)], pooling="mean")
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> model(ids, torch.ones_like(ids)).logits.shape
        torch.Size([1, 1])
    """

    base_model_prefix = "encoder"

    def __init__(self, encoder: nn.Module, layers: Sequence[nn.Module], *, pooling: StatePooling = "cls") -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise InputError(f"pooling={pooling!r} is unknown: choose one of {', '.join(POOLINGS)}")
        # Looked up here: a compiler that reads forward along does not follow imports.
        self._output = require("transformers.modeling_outputs", "text").SequenceClassifierOutput
        self.encoder = encoder
        self.layers = nn.Sequential(*layers)
        self.pooling: StatePooling = pooling
        _check_widths(self.layers, int(encoder.config.hidden_size))  # type: ignore[union-attr, arg-type]
        # Whoever packs batches asks here whether a classifier looks beyond the first token.
        encoder.config.classifier_pooling = "cls" if pooling == "cls" else "mean"  # type: ignore[union-attr]

    @property
    def config(self) -> Any:
        """The encoder's configuration."""
        return self.encoder.config

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the encoder can compute its layers again in the backward pass."""
        return bool(getattr(self.encoder, "supports_gradient_checkpointing", False))

    def gradient_checkpointing_enable(self, options: dict[str, Any] | None = None) -> None:
        """Have the encoder do so."""
        # Newer versions of transformers renamed it.
        renamed = getattr(self.encoder, "activation_checkpointing_enable", None)
        (renamed or self.encoder.gradient_checkpointing_enable)(options)  # type: ignore[operator]

    def set_attn_implementation(self, name: str) -> None:
        """Choose the encoder's attention function."""
        self.encoder.set_attn_implementation(name)  # type: ignore[operator]

    def forward(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Any:
        """Score rows of tokens, or of their embeddings."""
        given = {"token_type_ids": token_type_ids, "inputs_embeds": inputs_embeds}
        given = {name: value for name, value in given.items() if value is not None}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **given).last_hidden_state
        pooled = pool_states(hidden, attention_mask, method=self.pooling)
        return self._output(logits=self.layers(pooled.to(_dtype(self.layers))))


def _check_widths(layers: nn.Sequential, width: int) -> None:
    weight = next(layers.parameters(), None)
    found: tuple[int, ...] | str = "no layer with weights"
    if weight is not None:
        try:
            with torch.no_grad():
                found = tuple(layers(torch.zeros(1, width, device=weight.device, dtype=weight.dtype)).shape)
        except RuntimeError as error:
            found = str(error)
    if found != (1, 1):
        raise InputError(f"layers: they must make one score of {width} features, and give {found}")


def _dtype(layers: nn.Module) -> torch.dtype:
    return next(layers.parameters()).dtype
