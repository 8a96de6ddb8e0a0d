"""Fused attention whose exported graph gives what torch gives for tokens that read nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor, nn

from rankgrad._checks import require

NAME = "rankgrad_guarded"


@cache
def register() -> None:
    """Tell transformers about attention that gives 0 where nothing is read, as torch's does; its ONNX does not."""
    transformers = require("transformers", "text")
    masks = require("transformers.masking_utils", "text")
    fused = require("transformers.integrations.sdpa_attention", "text").sdpa_attention_forward

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        states, _ = fused(module, query, key, value, attention_mask, **options)
        if attention_mask is not None:
            # The mask is bool [batch, 1, tokens, tokens], the states are [batch, tokens, heads, dim].
            states = states * attention_mask.any(-1).transpose(1, 2).unsqueeze(-1)
        return states, None

    transformers.AttentionInterface.register(NAME, attention)
    masks.AttentionMaskInterface.register(NAME, masks.sdpa_mask)
