"""Lengths that an encoder can read, and texts that are longer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from rankgrad.modules.text_encoder import TextEncoder
from rankgrad.prompts import PromptTokenizer
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer, Tokens


def positions(encoder: TextEncoder) -> int | None:
    """How many tokens the encoder has learned positions for; None where positions are computed and have no end."""
    for name, part in encoder.backbone.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding):
            return part.num_embeddings - encoder.first_position
    return None


def positions_of(backbone: nn.Module) -> int | None:
    """The same of a model that is not wrapped; it keeps its attention."""
    before = getattr(backbone.config, "_attn_implementation", None)
    found = positions(TextEncoder(backbone))
    if before != getattr(backbone.config, "_attn_implementation", None):
        backbone.set_attn_implementation(before)  # type: ignore[operator]
    return found


def within(rules: LateInteractionRules, limit: int | None) -> LateInteractionRules:
    """The rules with no length above ``limit``."""
    if limit is None:
        return rules
    expansion = None if rules.expansion_length is None else min(rules.expansion_length, limit)
    return replace(
        rules,
        query_length=min(rules.query_length, limit),
        document_length=min(rules.document_length, limit),
        expansion_length=expansion,
    )


def pair_lengths(max_length: int, query_length: int, limit: int | None) -> dict[str, int]:
    """Lengths of a pair and of its query, none of which is more than the encoder reads.

    Example:
        >>> pair_lengths(1024, 400, 512), pair_lengths(64, 48, 512)
        ({'max_length': 512, 'query_length': 256}, {'max_length': 64, 'query_length': 48})
    """
    if limit is not None and max_length > limit:
        max_length, query_length = limit, min(query_length, limit // 2)
    return {"max_length": max_length, "query_length": query_length}


class PairCutReport:
    """Tokenizes pairs, and says once how many were cut because the encoder reads less than was asked for.

    Args:
        tokenizer: with the length that the encoder can read.
        asked: the ``max_length`` that was given.
        reader: what reads the pairs, as messages name it.
    """

    def __init__(self, tokenizer: PairTokenizer | PromptTokenizer, asked: int, reader: str = "encoder") -> None:
        self.tokenizer = tokenizer
        self.asked = asked
        self.reader = reader
        self.said = False

    def __call__(self, queries: Sequence[str], documents: Sequence[str]) -> Tokens:
        before = self.tokenizer.cut["document"]
        tokens = self.tokenizer(queries, documents)
        cut, limit = self.tokenizer.cut["document"] - before, self.tokenizer.max_length
        if cut and limit < self.asked and not self.said:
            self.said = True
            warnings.warn(
                f"{cut} of {len(documents)} pairs were cut at the {self.reader}'s {limit} positions; "
                f"max_length={self.asked} asks for more",
                stacklevel=4,
            )
        return tokens


class CutReport:
    """Tokenizes, and says once a side how many texts were cut because the encoder reads less than the rules ask for.

    Args:
        tokenizer: with the rules that the encoder can follow.
        asked: the rules as they were given.
    """

    def __init__(self, tokenizer: LateInteractionTokenizer, asked: LateInteractionRules) -> None:
        self.tokenizer = tokenizer
        self.asked = {"query": asked.query_length, "document": asked.document_length}
        self.limits = {"query": tokenizer.rules.query_length, "document": tokenizer.rules.document_length}
        self.said: set[str] = set()

    def queries(self, texts: Sequence[str]) -> Tokens:
        """Tokenize queries."""
        return self._tokenized(self.tokenizer.queries, texts, "query")

    def documents(self, texts: Sequence[str]) -> Tokens:
        """Tokenize documents."""
        return self._tokenized(self.tokenizer.documents, texts, "document")

    def _tokenized(self, tokenize: Callable[[Sequence[str]], Tokens], texts: Sequence[str], side: str) -> Tokens:
        if isinstance(texts, str):
            raise TypeError(f"{side}: expected a sequence of strings, got one string; wrap it in a list")
        before = self.tokenizer.cut[side]
        tokens = tokenize(texts)
        cut = self.tokenizer.cut[side] - before
        limit, asked = self.limits[side], self.asked[side]
        if cut and limit < asked and side not in self.said:
            self.said.add(side)
            warnings.warn(
                f"{cut} of {len(texts)} {side} texts were cut at the encoder's {limit} positions; "
                f"{side}_length={asked} asks for more",
                stacklevel=4,
            )
        return tokens
