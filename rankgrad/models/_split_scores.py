"""Lists scored by a model that reads queries and documents apart and compares them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from rankgrad._checks import check_texts
from rankgrad._modes import learns
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models._batches import score_sorted, sorted_batches
from rankgrad.models._equal_calls import call_each
from rankgrad.tokens import Tokens


class VectorModel(Protocol):
    """See :class:`rankgrad.training.SplitModel`."""

    def embed_queries(self, tokens: TextTokens) -> Tensor: ...

    def embed_documents(self, tokens: TextTokens) -> Tensor: ...

    def compare(self, queries: Tensor, query_mask: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor: ...


def split_scores(model: VectorModel, features: LateInteractionFeatures) -> Tensor:
    """Scores ``[..., queries, candidates]`` of a batch's lists, or ``[..., queries, documents]`` without slots."""
    documents = call_each(model, model.embed_documents, features.documents)
    groups = [(each, group.scored) for each, group in zip(documents, features.documents, strict=True)]
    scores = model.compare(model.embed_queries(features.queries), features.queries.scored, groups)
    if features.slots is None:
        return scores
    return scores.gather(-1, features.slots.expand(*scores.shape[:-1], -1))


def encoded(
    model: nn.Module,
    texts: Sequence[str],
    what: str,
    tokenize: Callable[[Sequence[str]], Tokens],
    embed: Callable[[TextTokens], Tensor],
    *,
    batch_size: int,
) -> Tensor:
    """The vectors of texts, ``[texts, ...]`` in the order given, made in batches sorted by length.

    They carry a gradient while ``model`` is in training mode: whole collections are encoded outside of it.

    Raises:
        InputError: for an empty query, no texts, or a batch size below 1.
    """
    check_texts(texts, what, allow_blank=what == "document")
    device = next(model.parameters()).device
    with torch.set_grad_enabled(learns(model)):
        return score_sorted(sorted_batches(tokenize(texts), batch_size, device), lambda _, batch: embed(batch))
