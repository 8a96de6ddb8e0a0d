"""Scores of (query, document) pairs that a graph reads together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rankgrad._checks import InputError, check_texts
from rankgrad.deploy.graph import Graph
from rankgrad.tokens import Tokens


def score_pairs(
    graph: Graph,
    tokenize: Callable[[Sequence[str], Sequence[str]], Tokens],
    queries: Sequence[str],
    documents: Sequence[str],
    *,
    batch_size: int | None = None,
) -> np.ndarray:
    """Score pair i = (``queries[i]``, ``documents[i]``), in runs of like length.

    Args:
        graph: output logits ``[batch, 1]``.
        tokenize: makes a row of tokens of each pair.
        queries: one text a pair.
        documents: one text a pair.
        batch_size: pairs of one run; None takes the graph's own.

    Returns:
        Float32 ``[pairs]``, in the order given.

    Raises:
        TypeError: for a bare string.
        InputError: for an empty query, no pairs, or lists of different lengths.
    """
    _check(queries, documents)
    scores = np.empty(len(queries), dtype=np.float32)
    for rows, logits in graph.batches(tokenize(queries, documents), batch_size=batch_size):
        scores[rows] = logits[:, 0]
    return scores


def score_lists(
    graph: Graph,
    tokenize: Callable[[Sequence[str], Sequence[str]], Tokens],
    queries: Sequence[str],
    documents: Sequence[str],
) -> np.ndarray:
    """Score pair i = (``queries[i]``, ``documents[i]``), all pairs with the same query text in one run.

    Args:
        graph: output logits ``[batch, 1]``, where each depends on the other rows.
        tokenize: makes a row of tokens of each pair.
        queries: one text a pair.
        documents: one text a pair.

    Returns:
        Float32 ``[pairs]``, in the order given.

    Raises:
        TypeError: for a bare string.
        InputError: for an empty query, no pairs, or lists of different lengths.
    """
    _check(queries, documents)
    lists: dict[str, list[int]] = {}
    for row, query in enumerate(queries):
        lists.setdefault(query, []).append(row)
    scores = np.empty(len(queries), dtype=np.float32)
    for query, rows in lists.items():
        scores[rows] = graph(tokenize([query] * len(rows), [documents[row] for row in rows]))[:, 0]
    return scores


def _check(queries: Sequence[str], documents: Sequence[str]) -> None:
    check_texts(queries, "query")
    if isinstance(documents, str):
        raise TypeError("documents: expected a sequence of strings, got one string; wrap it in a list")
    if len(queries) != len(documents):
        raise InputError(f"queries and documents pair up: got {len(queries)} and {len(documents)}")
