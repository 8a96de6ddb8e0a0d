"""The head of a sequence classifier, given hidden states that were made elsewhere."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rankgrad._checks import require
from rankgrad.modules.encoder_layers import with_module


class Classifier(nn.Module):
    """What an ``AutoModelForSequenceClassification`` makes of its encoder's last states.

    The model's own ``forward`` is run with a stand-in for the encoder, so that its pooling, dropout and layers are what
    they are in it. Weights are shared with it. Made once, it is what a compiler can follow.

    Shape:
        hidden: ``[rows, tokens, hidden]``; attention_mask: int64 ``[rows, tokens]`` -> ``[rows, labels]``

    Example:
        >>> import torch
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
        >>> model = BertForSequenceClassification(BertConfig(**size, num_labels=1)).eval()
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> hidden = model.bert(ids).last_hidden_state
        >>> bool(torch.equal(Classifier(model)(hidden, torch.ones_like(ids)), model(ids).logits))
        True
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        name: str = model.base_model_prefix  # type: ignore[assignment]
        self.view = with_module(model, [name], _Given(model.get_submodule(name)))

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits ``[rows, labels]``."""
        return self.view(input_ids=None, attention_mask=attention_mask, inputs_embeds=hidden).logits


class _Given(nn.Module):
    """In the place of an encoder: what comes as embeddings are its last states."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        outputs = require("transformers.modeling_outputs", "text")
        self.pooler = getattr(encoder, "pooler", None)
        self.output = outputs.BaseModelOutput if self.pooler is None else outputs.BaseModelOutputWithPooling

    def forward(self, *arguments: Any, inputs_embeds: Tensor, **options: Any) -> Any:
        pooled = {} if self.pooler is None else {"pooler_output": self.pooler(inputs_embeds)}
        return self.output(last_hidden_state=inputs_embeds, **pooled)
