"""Encoding many documents into one packed tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from rankgrad._checks import require
from rankgrad._modes import learns
from rankgrad.data.collate import TextTokens
from rankgrad.models._batches import sorted_batches
from rankgrad.tokens import Tokens
from rankgrad.types import PackedTokens


def packed_documents(
    tokens: Tokens,
    encode: Callable[[TextTokens], tuple[Tensor, Tensor]],
    *,
    batch_size: int,
    dim: int,
    model: nn.Module,
    progress: bool,
) -> PackedTokens:
    """Encode in batches sorted by length and keep what each row's mask says, documents in the order given.

    Args:
        encode: gives embeddings ``[rows, tokens, dim]`` and the mask ``[rows, tokens]`` of the tokens to keep.
        model: what encodes; without its training mode no gradient is kept.
    """
    device = next(model.parameters()).device
    count = len(tokens.input_ids)
    batches = sorted_batches(tokens, batch_size, device)
    if progress:
        track = require("rich.progress", "evaluate").track
        total = -(-count // batch_size)
        batches = track(batches, description="encoding documents", total=total, transient=True)
    rows: list[Tensor | None] = [None] * count
    with torch.set_grad_enabled(learns(model)):
        for places, batch in batches:
            embeddings, kept = encode(batch)
            for row, place in enumerate(places):
                rows[place] = embeddings[row][kept[row]]
    done = cast(list[Tensor], rows)
    lengths = torch.tensor([0, *(len(row) for row in done)], dtype=torch.int64)
    packed = torch.cat(done) if done else torch.zeros(0, dim, device=device)
    return PackedTokens(packed, lengths.cumsum(0).to(torch.int32).to(device))


@torch.no_grad()
def scored_states(encoder: Callable[..., Tensor], tokens: Tokens, device: torch.device) -> Tensor:
    """An encoder's states ``[tokens, hidden]`` of all tokens that MaxSim scores."""
    states = []
    for _, batch in sorted_batches(tokens, 32, device):
        hidden = encoder(batch.input_ids, batch.attention_mask, torch.zeros_like(batch.input_ids))
        states.append(hidden[batch.scored])
    return torch.cat(states)
