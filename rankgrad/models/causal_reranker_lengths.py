"""Lengths that a decoder can read, and prompts that are as long."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import nn

from rankgrad.models._lengths import pair_lengths
from rankgrad.prompts import PromptTokenizer
from rankgrad.tokens import Tokens

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


class PromptCutReport:
    """Tokenizes pairs, and says once how many prompts end where the decoder's positions do, before those asked for.

    Args:
        tokenizer: with the length that the decoder can read.
        asked: the ``max_length`` that was given.
    """

    def __init__(self, tokenizer: PromptTokenizer, asked: int) -> None:
        self.tokenizer = tokenizer
        self.asked = asked
        self.said = False

    def __call__(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        tokens = self.tokenizer(queries, documents)
        limit = self.tokenizer.max_length
        full = int((tokens.lengths == limit).sum())
        if full and limit < self.asked and not self.said:
            self.said = True
            warnings.warn(
                f"{full} of {len(documents)} prompts reach the decoder's {limit} positions, where documents are cut; "
                f"max_length={self.asked} asks for more",
                stacklevel=3,
            )
        return tokens
