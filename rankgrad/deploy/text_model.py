"""The model of a bundle that reads texts, put together from its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.colbert_reranker import ColBERTReranker
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.dense_encoder import DenseEncoder
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.sparse_encoder import SparseEncoder
from rankgrad.prompts import PromptTemplate, PromptTokenizer
from rankgrad.tokens import LateInteractionRules, LateInteractionTokenizer, PairTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TextModel: TypeAlias = CrossEncoder | ColBERT | ColBERTReranker | DenseEncoder | SparseEncoder | CausalReranker

TEXT_KINDS = ("cross_encoder", "colbert", "colbert_reranker", "dense_encoder", "sparse_encoder", "causal_reranker")
QUERY_WEIGHTS = "idf.json"
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


def text_model(
    kind: str, graph: Graph, tokenizer: Tokenizer, settings: Mapping[str, Any], *, dim: int, options: Mapping[str, Any]
) -> TextModel:
    """The model of a kind.

    Args:
        kind: one of ``TEXT_KINDS``.
        graph: the exported graph.
        tokenizer: as its file has it.
        settings: of the tokenizer: lengths, rules, prompt.
        dim: width of the graph's output.
        options: what the kind has beyond these; of a sparse encoder with looked-up queries and of a
            ColBERT that weighs them also ``query_weights``.

    Raises:
        KeyError: for settings that are missing.
        TypeError, ValueError: for settings that cannot be used.
    """
    for name in ("mask_id", "pad_id"):
        beyond = settings.get(name, 0) >= tokenizer.get_vocab_size()
        if beyond and tokenizer.id_to_token(settings[name]) is None:
            raise ValueError(f"{name}={settings[name]} is no token of this vocabulary")
    if kind == "cross_encoder":
        return CrossEncoder(graph, PairTokenizer(tokenizer, **settings), **options)
    if kind == "causal_reranker":
        template = PromptTemplate(**settings["template"])
        return CausalReranker(graph, PromptTokenizer(tokenizer, **{**settings, "template": template}))
    rules = LateInteractionRules.from_dict(settings["rules"])
    late = LateInteractionTokenizer(tokenizer, rules, mask_id=settings["mask_id"], pad_id=settings["pad_id"])
    if kind == "colbert":
        return ColBERT(graph, late, dim=dim, **options)
    if kind == "colbert_reranker":
        return ColBERTReranker(graph, late)
    if kind == "dense_encoder":
        return DenseEncoder(graph, late, dim=dim, **options)
    return SparseEncoder(graph, late, width=dim, **options)


def read_query_weights(path: Path, tokenizer: Tokenizer, width: int) -> np.ndarray:
    """The table of a file that maps words to weights: float32 ``[width]``, 0 for words that are not in it.

    Raises:
        ValueError: for what is no JSON, or a word that is no token.
    """
    words = json.loads(path.read_text(encoding="utf-8"))
    table = np.zeros(width, dtype=np.float32)
    for word, weight in words.items():
        place = tokenizer.token_to_id(word)
        if place is None:
            raise ValueError(f"{word!r} is no token of this vocabulary")
        table[place] = weight
    return table
