"""A transformers encoder that takes tokens and gives hidden states."""

from __future__ import annotations

from inspect import signature

from torch import Tensor, nn


class TextEncoder(nn.Module):
    """Wrap any ``AutoModel`` encoder: token ids in, last hidden states out.

    Args:
        backbone: a transformers encoder. Inputs that its ``forward`` does not name are not passed on.

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
        names = signature(backbone.forward).parameters
        self.takes_segments = "token_type_ids" in names and getattr(backbone.config, "type_vocab_size", 2) > 1
        self.takes_positions = "position_ids" in names
        # RoBERTa counts positions from behind its padding index, BERT from 0.
        padding = getattr(getattr(backbone, "embeddings", None), "padding_idx", None)
        self.first_position = 0 if padding is None else int(padding) + 1

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return int(self.backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]

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
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.takes_positions and position_ids is not None:
            inputs["position_ids"] = position_ids + self.first_position
        if self.takes_segments and token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return self.backbone(**inputs).last_hidden_state
