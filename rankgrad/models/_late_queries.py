"""Encoding the queries of a model that compares token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rankgrad._checks import check_texts
from rankgrad._modes import learns
from rankgrad.data.collate import TextTokens

if TYPE_CHECKING:
    from rankgrad.models.colbert import ColBERT


def encoded_queries(model: ColBERT, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Embeddings float32 ``[queries, tokens, dim]``, with a gradient in training mode alone, and mask bool.

    Raises:
        InputError: for an empty query or an empty batch.
    """
    check_texts(texts, "query")
    batch = TextTokens(*(torch.from_numpy(field).to(model.device) for field in model.texts.queries(texts)))
    with torch.set_grad_enabled(learns(model)):
        return model.embed_queries(batch), batch.scored
