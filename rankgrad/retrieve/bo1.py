"""Bo1: expanding queries by terms that are frequent in the first documents beyond chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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

_OPTIONS = ("feedback_documents", "feedback_terms", "feedback_weight")


class Bo1(nn.Module):
    r"""Expand queries by the terms that are more frequent in the first documents than chance has it (Bose-Einstein 1).

    With F the occurrences of a term in the collection of N documents, and tf those in ``feedback_documents`` of them::

        information(t) = tf log2((1 + F / N) / (F / N)) + log2(1 + F / N)      the ``feedback_terms`` largest are kept
        weight(t)      = q_t / max q  +  feedback_weight * information(t) / max information

    and the second search is for these weighted terms.

    Args:
        retriever: a lexical retriever, which runs both searches.
        documents: its collection, whose terms are counted once more, document by document.
        feedback_documents: of the first search.
        feedback_terms: taken from them at most.
        feedback_weight: what the best of these weighs beside the query's most frequent term (Rocchio's beta).

    Shape:
        ``term_ends``, ``terms`` and ``counts`` as in :class:`RM3`.

    Raises:
        InputError: for other documents than the retriever's, or a number outside of its range.

    Reference:
        G. Amati, "Probability Models for Information Retrieval based on Divergence from Randomness", PhD thesis, 2003.

    Example:
        >>> from rankgrad.retrieve import BM25
        >>> documents = ["cat kitten", "kitten litter", "dog"]
        >>> Bo1(BM25(documents), documents)(["cat"], k=3).ids.tolist()
        [[0, 1, -1]]
    """

    term_ends: Tensor
    terms: Tensor
    counts: Tensor

    def __init__(
        self,
        retriever: LexicalRetriever,
        documents: Sequence[str],
        *,
        feedback_documents: int = 3,
        feedback_terms: int = 10,
        feedback_weight: float = 0.4,
    ) -> None:
        super().__init__()
        check_numbers(feedback_documents, feedback_terms)
        if not 0 <= feedback_weight < np.inf:
            raise InputError(f"feedback_weight={feedback_weight} must not be negative: 0.4 is usual")
        self.retriever = retriever
        self.feedback_documents, self.feedback_terms = feedback_documents, feedback_terms
        self.feedback_weight = feedback_weight
        count_documents(self, retriever, documents)

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents for the expanded queries.

        Raises:
            InputError: for an empty query, or ``k`` outside of the collection.
        """
        return self.retriever.rank(self.expand(queries), k)

    def expand(self, queries: Queries) -> WeightedTerms:
        """The weighted terms of the second search."""
        check_texts(queries, "query")
        terms = self.retriever.weigh(queries)
        highest = np.ones(terms.queries)
        np.maximum.at(highest, terms.owners, terms.weights)
        original = terms._replace(weights=terms.weights / highest[terms.owners])
        occurrences = np.bincount(self.terms.cpu().numpy(), self.counts.cpu().numpy(), len(self.retriever.vocabulary))
        added = []
        for feedback in feedback_of(self, terms):
            rate = occurrences[feedback.positions] / self.retriever.documents
            information = feedback.counts.sum(0) * np.log2((1 + rate) / rate) + np.log2(1 + rate)
            positions, values = largest(feedback.positions, information, self.feedback_terms)
            added.append((positions, self.feedback_weight * values / max(values.max(initial=0.0), 1e-300)))
        return joined(original, added)

    def save(self, folder: str | Path) -> None:
        """Write the counts and settings, without the retriever, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        save_counts(self, folder, "bo1", _OPTIONS)

    @classmethod
    def load(cls, folder: str | Path, retriever: LexicalRetriever) -> Bo1:
        """Read what :meth:`save` wrote beside the same ``retriever``; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or of another kind or another collection.
        """
        return load_counts(cls, folder, "bo1", retriever, _OPTIONS)
