"""RM3: expanding queries by a relevance model of the first documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad.retrieve._feedback import (
    LexicalRetriever,
    check_numbers,
    count_documents,
    feedback_of,
    joined,
    largest,
    load_counts,
    save_counts,
)
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

Shares = Literal["scores", "softmax", "uniform"]

_OPTIONS = ("feedback_documents", "feedback_terms", "query_weight", "shares")


class RM3(nn.Module):
    r"""Expand queries by the terms that a relevance model of the first documents makes likely.

    With ``p(t | d) = tf / |d|`` and the share ``p(d)`` of each of the ``feedback_documents`` first documents::

        relevance(t) = sum_d p(d) p(t | d)        the ``feedback_terms`` largest are kept and made to sum to 1
        weight(t)    = query_weight * q_t / |q|  +  (1 - query_weight) * relevance(t)

    and the second search is for these weighted terms.

    Args:
        retriever: a lexical retriever, which runs both searches.
        documents: its collection, whose terms are counted once more, document by document.
        feedback_documents: of the first search.
        feedback_terms: added to a query at most.
        query_weight: the original query's share.
        shares: p(d): in proportion to the ``scores`` (BM25, TF-IDF), their ``softmax`` (log-likelihoods, for which it
            is the relevance model of the paper), or ``uniform``.

    Shape:
        ``term_ends`` int64 ``[documents + 1]``, ``terms`` int32 ``[entries]``, ``counts`` int32 ``[entries]``: document
        d's terms and how often it holds them are entries ``term_ends[d]:term_ends[d + 1]``.

    Raises:
        InputError: for other documents than the retriever's, or a number outside of its range.

    Reference:
        V. Lavrenko, W. B. Croft, "Relevance-Based Language Models", SIGIR 2001. N. Abdul-Jaleel et al., "UMass at TREC
        2004: Novelty and HARD", TREC 2004.

    Example:
        >>> from rankgrad.retrieve import BM25
        >>> documents = ["cat kitten", "kitten litter", "dog"]
        >>> BM25(documents)(["cat"], k=3).ids.tolist(), RM3(BM25(documents), documents)(["cat"], k=3).ids.tolist()
        ([[0, -1, -1]], [[0, 1, -1]])
    """

    term_ends: Tensor
    terms: Tensor
    counts: Tensor

    def __init__(
        self,
        retriever: LexicalRetriever,
        documents: Sequence[str],
        *,
        feedback_documents: int = 10,
        feedback_terms: int = 10,
        query_weight: float = 0.5,
        shares: Shares = "scores",
    ) -> None:
        super().__init__()
        check_numbers(feedback_documents, feedback_terms)
        if not 0 <= query_weight <= 1:
            raise InputError(f"query_weight={query_weight} must lie between 0 and 1: 0.5 is usual")
        if shares not in get_args(Shares):
            raise InputError(f"shares={shares!r} is unknown: choose one of {', '.join(get_args(Shares))}")
        self.retriever = retriever
        self.feedback_documents, self.feedback_terms = feedback_documents, feedback_terms
        self.query_weight, self.shares = query_weight, shares
        count_documents(self, retriever, documents)

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents for the expanded queries.

        Raises:
            InputError: for an empty query, ``k`` outside of the collection, or scores that are no shares.
        """
        return self.retriever.rank(self.expand(queries), k)

    def expand(self, queries: Queries) -> WeightedTerms:
        """The weighted terms of the second search."""
        check_texts(queries, "query")
        terms = self.retriever.weigh(queries)
        totals = terms.totals()
        original = terms._replace(weights=self.query_weight * terms.weights / totals[terms.owners])
        added = []
        for feedback in feedback_of(self, terms):
            lengths = feedback.counts.sum(1, keepdims=True)
            relevance = self._document_shares(feedback.scores) @ (feedback.counts / np.maximum(lengths, 1))
            positions, values = largest(feedback.positions, relevance, self.feedback_terms)
            added.append((positions, (1 - self.query_weight) * values / max(values.sum(), 1e-300)))
        return joined(original, added)

    def save(self, folder: str | Path) -> None:
        """Write the counts and settings, without the retriever, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        save_counts(self, folder, "rm3", _OPTIONS)

    @classmethod
    def load(cls, folder: str | Path, retriever: LexicalRetriever) -> RM3:
        """Read what :meth:`save` wrote beside the same ``retriever``; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or of another kind or another collection.
        """
        return load_counts(cls, folder, "rm3", retriever, _OPTIONS)

    def _document_shares(self, scores: np.ndarray) -> np.ndarray:
        if self.shares == "uniform" or not len(scores):
            return np.full(len(scores), 1 / max(len(scores), 1))
        if self.shares == "softmax":
            likelihoods = np.exp(scores - scores.max())
            return likelihoods / likelihoods.sum()
        if scores.min() < 0:
            raise InputError('shares="scores" cannot share out negative scores: take "softmax" for log-likelihoods')
        return scores / scores.sum()
