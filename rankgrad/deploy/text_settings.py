"""What ``rankgrad.json`` may say of a model of texts: the kinds, and what each of their values has to be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

TEXT_KINDS = ("cross_encoder", "colbert", "colbert_reranker", "dense_encoder", "sparse_encoder", "causal_reranker")
_LARGEST = 2**31 - 1


class Expected(NamedTuple):
    """What a value of ``rankgrad.json`` has to be: in words, and as a test of what JSON can hold."""

    what: str
    fits: Callable[[Any], bool]


def whole(least: int, most: int = _LARGEST) -> Expected:
    """A whole number within bounds.

    Example:
        >>> [whole(1).fits(value) for value in (1, 0, 1.0, True, None, 10**25)]
        [True, False, False, False, False, False]
    """
    return Expected(
        f"a whole number from {least} to {most}", lambda value: type(value) is int and least <= value <= most
    )


def or_null(expected: Expected) -> Expected:
    """The same, or null."""
    return Expected(f"{expected.what}, or null", lambda value: value is None or expected.fits(value))


TEXT = Expected("a string", lambda value: isinstance(value, str))
TEXTS = Expected(
    "a list of strings", lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value)
)
TRUTH = Expected("true or false", lambda value: isinstance(value, bool))
# A whole number may be too large for a float.
NUMBER = Expected(
    "a number", lambda value: type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
)
_LENGTH, _ID = whole(1), whole(0)
_LATE = {
    "rules": {
        **dict.fromkeys(("query_prefix", "document_prefix", "query_prompt", "document_prompt"), TEXT),
        **dict.fromkeys(("query_length", "document_length"), _LENGTH),
        **dict.fromkeys(("query_expansion", "attend_to_expansion"), TRUTH),
        "skip_words": TEXTS,
        "expansion_length": or_null(_LENGTH),
    },
    "mask_id": _ID,
    "pad_id": _ID,
}
_LENGTHS = {"max_length": _LENGTH, "query_length": _LENGTH, "pad_id": _ID}
_TEMPLATE = {**dict.fromkeys(("before", "body", "after", "instruction", "yes"), TEXT), "no": or_null(TEXT)}
TOKENIZER_SETTINGS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(TEXT_KINDS, _LATE),
    "cross_encoder": {**_LENGTHS, "query_prompt": TEXT},
    "causal_reranker": {**_LENGTHS, "template": _TEMPLATE},
}
"""Of each kind what its tokenizer's settings have to be, where they are given."""

OPTIONS: dict[str, dict[str, Expected]] = {
    "cross_encoder": {"listwise": TRUTH},
    "colbert": {"lookup": TRUTH},
    "dense_encoder": {
        "similarity": Expected("'cosine' or 'dot'", lambda value: value in ("cosine", "dot")),
        "normalize": TRUTH,
        "scale": NUMBER,
    },
    "sparse_encoder": {"lookup": TRUTH, "query_top_k": or_null(_LENGTH), "document_top_k": or_null(_LENGTH)},
}
"""The same of its options."""
