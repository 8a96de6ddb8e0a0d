"""What a reranker hands back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rankgrad._checks import InputError, check_texts


class Result(NamedTuple):
    """One document in its place: its position in the list that came in, its score, its text."""

    index: int
    score: float
    document: str


def check_request(query: str, documents: Sequence[str], k: int | None) -> None:
    """Refuse what cannot be ranked.

    Raises:
        TypeError: for a query that is no string, or documents that are one string.
        InputError: for an empty query or document, no documents, or ``k`` outside 1 to the number of documents.
    """
    if not isinstance(query, str):
        raise TypeError(f"query: expected a string, got {type(query).__name__}")
    if not query.strip():
        raise InputError("the query is empty: give it at least one word")
    check_texts(documents, "document")
    if k is not None and not 1 <= k <= len(documents):
        raise InputError(f"k={k} with {len(documents)} documents: pass a number from 1 to {len(documents)}, or None")


def score_distinct(documents: Sequence[str], score: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Score each distinct text once, so that copies of a text tie exactly wherever they stand in a run."""
    distinct = {text: row for row, text in enumerate(dict.fromkeys(documents))}
    return score(list(distinct))[[distinct[text] for text in documents]]


def best_first(documents: Sequence[str], scores: np.ndarray, k: int | None) -> list[Result]:
    """The ``k`` documents of the highest scores; of equal scores the lowest index comes first.

    Example:
        >>> [result.index for result in best_first(["a", "b", "c"], np.array([1.0, 2.0, 2.0]), k=2)]
        [1, 2]
    """
    order: list[int] = np.argsort(-scores, kind="stable")[:k].tolist()
    return [Result(row, float(scores[row]), documents[row]) for row in order]
