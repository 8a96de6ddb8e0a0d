"""The head of a sequence classifier, given hidden states that were made elsewhere."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rankgrad._checks import require
from rankgrad.modules.encoder_layers import with_module


def classify(model: nn.Module, hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """What an ``AutoModelForSequenceClassification`` makes of its encoder's last states.

    The model's own ``forward`` is run with a stand-in for the encoder, so that its pooling, dropout and layers are what
    they are in it.

    Shape:
        hidden: ``[rows, tokens, hidden]``; attention_mask: int64 ``[rows, tokens]`` -> ``[rows, labels]``

    Example:
        >>> import torch
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> size = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=20)
        >>> model = BertForSequenceClassification(BertConfig(**size, num_labels=1)).eval()
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> hidden = model.bert(ids).last_hidden_state
        >>> bool(torch.equal(classify(model, hidden, torch.ones_like(ids)), model(ids).logits))
        True
    """
    name: str = model.base_model_prefix  # type: ignore[assignment]
    view = with_module(model, [name], _Given(hidden, model.get_submodule(name)))
    return view(input_ids=attention_mask, attention_mask=attention_mask).logits


class _Given(nn.Module):
    def __init__(self, hidden: Tensor, encoder: nn.Module) -> None:
        super().__init__()
        self.hidden, self.encoder = hidden, encoder

    def forward(self, *arguments: Any, **options: Any) -> Any:
        outputs = require("transformers.modeling_outputs", "text")
        pooler = getattr(self.encoder, "pooler", None)
        if pooler is None:
            return outputs.BaseModelOutput(last_hidden_state=self.hidden)
        return outputs.BaseModelOutputWithPooling(last_hidden_state=self.hidden, pooler_output=pooler(self.hidden))
