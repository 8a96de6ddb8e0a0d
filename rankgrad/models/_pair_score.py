"""Batches of pairs for a cross-encoder: from texts by length and tokens, from features by whole lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rankgrad._modes import learns
from rankgrad.data.collate import PairFeatures
from rankgrad.models._batches import check_sizes, list_batches, score_sorted, sorted_batches
from rankgrad.models._pair_forward import layer_scores
from rankgrad.models._pair_lists import batches_of_lists

if TYPE_CHECKING:
    from rankgrad.models.cross_encoder import CrossEncoder

# More tokens at a time leave a CPU's caches; on other devices a batch is 32 pairs.
_CPU_TOKENS = 2048
_ROWS = 32


def score_texts(
    model: CrossEncoder,
    queries: Sequence[str],
    documents: Sequence[str],
    layer: int,
    *,
    batch_size: int | None,
    token_budget: int | None,
) -> Tensor:
    """Score pair i = (``queries[i]``, ``documents[i]``) behind ``layer`` layers: float32 ``[pairs]``.

    They carry a gradient in training mode alone.
    """
    tokens, device = model.texts(queries, documents), model.device
    if batch_size is None and token_budget is None:
        batch_size, token_budget = (None, _CPU_TOKENS) if model.packs and device.type == "cpu" else (_ROWS, None)
    with torch.set_grad_enabled(learns(model)):
        if model.options.listwise:
            check_sizes(batch_size, token_budget)
            numbers = {query: number for number, query in enumerate(dict.fromkeys(queries))}
            lists = np.array([numbers[query] for query in queries])
            return score_sorted(
                list_batches(tokens, lists, token_budget, device),
                lambda rows, batch: layer_scores(model, batch, (layer,), torch.from_numpy(lists[rows]).to(device))[0],
            )
        spare = False if model.packs else None
        batches = sorted_batches(tokens, batch_size, device, token_budget=token_budget, spare_padding=spare)
        return score_sorted(batches, lambda _, batch: layer_scores(model, batch, (layer,))[0])


def score_lists(model: CrossEncoder, features: PairFeatures, layers: Sequence[int]) -> Tensor:
    """Score each list's candidates beside each other: float32 ``[layers, queries, candidates]``, 0 where masked."""
    places, scores = [], []
    for batch_places, tokens, lists in batches_of_lists(features):
        places.append(batch_places)
        scores.append(layer_scores(model, tokens, layers, lists))
    flat = torch.zeros(len(layers), features.slots.numel(), device=features.slots.device)
    if scores:
        found = torch.cat(scores, dim=1)
        flat = flat.to(found.dtype).index_copy(1, torch.cat(places), found)
    return flat.unflatten(1, features.slots.shape)
