"""Lengths that a decoder can read."""

from __future__ import annotations

from torch import nn

from rankgrad.models._lengths import pair_lengths

# What GPT-2, OPT and GPT call their table of positions; GPT-J fills one that is not learned.
_TABLES = ("wpe", "embed_positions", "positions_embed")


def positions(backbone: nn.Module) -> int | None:
    """How many tokens a decoder has a table of positions for; None where positions are computed and have no end."""
    for name, part in backbone.named_modules():
        if name.rpartition(".")[2] in _TABLES and isinstance(part, nn.Embedding):
            # OPT's first rows are for padding.
            return part.num_embeddings - int(getattr(part, "offset", 0))
    tables = (table for name, table in backbone.named_buffers() if name.rpartition(".")[2] in _TABLES)
    return next((len(table) for table in tables), None)


def prompt_lengths(backbone: nn.Module, max_length: int, query_length: int) -> dict[str, int]:
    """Lengths of a prompt and of its query, none of which is more than the decoder reads."""
    return pair_lengths(max_length, query_length, positions(backbone))
