"""Where in a text each of its tokens stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rankgrad.tokens import LateInteractionTokenizer

Span = tuple[int, int]


class Token(NamedTuple):
    """A token as a reader sees it.

    Args:
        text: its characters in the text, or its name in the vocabulary where it stands for none of them: ``[CLS]``,
            a prefix, a prompt's words, the ``[MASK]`` of query expansion.
        span: first character and the one behind the last; None where it stands for none.
    """

    text: str
    span: Span | None


def tokens_of(
    tokenizer: LateInteractionTokenizer, text: str, ids: Sequence[int], *, side: Literal["query", "document"]
) -> list[Token]:
    """The tokens of one text.

    Args:
        tokenizer: the one that made ``ids``.
        text: what was tokenized.
        ids: its row of ``tokenizer.queries`` or ``tokenizer.documents``, expansion and padding included.
        side: which of the two it was.
    """
    rules, inner = tokenizer.rules, tokenizer.tokenizer
    if side == "query":
        prefix, prompt, length = rules.query_prefix, rules.query_prompt, rules.query_length
    else:
        prefix, prompt, length = rules.document_prefix, rules.document_prompt, rules.document_length
    encoding = inner.encode(prompt + text, add_special_tokens=False)
    encoding.truncate(length - bool(prefix) - inner.num_special_tokens_to_add(False))
    encoding = inner.post_process(encoding)
    before = len(prompt)
    pairs = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
    spans = [None if special else _span(text, start - before, end - before) for (start, end), special in pairs]
    if prefix:
        spans.insert(1, None)
    spans += [None] * (len(ids) - len(spans))
    return [
        Token(text[slice(*span)] if span else str(inner.id_to_token(number)), span)
        for number, span in zip(ids, spans, strict=True)
    ]


def _span(text: str, start: int, end: int) -> Span | None:
    """The span without white space at its ends, which byte-level vocabularies count to a word; None if nothing is left.

    Example:
        >>> _span("a list", 1, 6), _span("a list", -3, 0)
        ((2, 6), None)
    """
    start = max(start, 0)
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if end > start else None
