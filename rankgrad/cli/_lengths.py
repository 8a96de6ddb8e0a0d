"""Telling the user when a text is longer than a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rankgrad.prompts import PromptTokenizer
    from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer

    Tokenizer: TypeAlias = PairTokenizer | PromptTokenizer | LateInteractionTokenizer


def cut_texts(tokenizer: Tokenizer, query: str, documents: Sequence[str], names: Sequence[str]) -> str | None:
    """What a model will not read of a query and its documents, in one line; None when it reads everything."""
    encode = tokenizer.tokenizer.encode_batch
    lengths = [len(encoding.ids) for encoding in encode([query, *documents], add_special_tokens=False)]
    query_room, document_room = _room(tokenizer, query, lengths[0])
    said = []
    if lengths[0] > query_room:
        said.append(f"the query has {lengths[0]:,} tokens, only its first {query_room} are read")
    long = [(name, length) for name, length in zip(names, lengths[1:], strict=True) if length > document_room]
    if long:
        listed = ", ".join(f"{name} ({length:,} tokens)" for name, length in long[:3])
        more = f" and {len(long) - 3} more" if len(long) > 3 else ""
        said.append(f"only the first {document_room} tokens of each document are read, which cuts {listed}{more}")
    return "warning: " + "; ".join(said) if said else None


def _room(tokenizer: Tokenizer, query: str, query_tokens: int) -> tuple[int, int]:
    """Tokens of a query and of a document that a model reads, special ones not counted."""
    from rankgrad.prompts import PromptTokenizer
    from rankgrad.tokens import PairTokenizer

    if isinstance(tokenizer, PromptTokenizer):
        around = tokenizer([query], [""]).attention_mask
        return tokenizer.query_length, tokenizer.max_length - int(around.sum())
    if isinstance(tokenizer, PairTokenizer):
        query_room = tokenizer.query_length
        around = tokenizer.tokenizer.num_special_tokens_to_add(True) + tokenizer.prompt_length
        return query_room, tokenizer.max_length - around - min(query_tokens, query_room)
    rules, special = tokenizer.rules, tokenizer.tokenizer.num_special_tokens_to_add(False)
    return (
        rules.query_length - special - bool(rules.query_prefix),
        rules.document_length - special - bool(rules.document_prefix),
    )
