"""The model of a bundle that reads texts, put together from its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

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

QUERY_WEIGHTS = "idf.json"
_EMBED = ("colbert", "dense_encoder", "sparse_encoder")


def text_model(
    kind: str, graph: Graph, tokenizer: Tokenizer, settings: Mapping[str, Any], *, dim: int, options: Mapping[str, Any]
) -> TextModel:
    """The model of a kind.

    Args:
        kind: one of :data:`rankgrad.deploy.text_settings.TEXT_KINDS`.
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
    if kind in _EMBED and graph.width not in (None, dim):
        raise ValueError(f"dim={dim}, the graph gives {graph.width}")
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
