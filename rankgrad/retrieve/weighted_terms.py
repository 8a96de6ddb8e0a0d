"""Queries as weighted terms of a collection's vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rankgrad.retrieve.analyzer import Analyzer


class WeightedTerms(NamedTuple):
    """The known terms of a batch of queries, each once a query; what a lexical retriever's ``rank`` takes.

    Shape:
        owners: int64 ``[total]``, the query each term belongs to, ascending.
        positions: int64 ``[total]``, places in the vocabulary, ascending within a query.
        weights: float64 ``[total]``: how often the query says the term, or what an expansion makes of it.
        queries: how many queries there are, those without a known term included.

    Example:
        >>> terms = WeightedTerms.of(["cat cat zebra", "unheard"], Analyzer(), {"dog": 0, "cat": 1, "zebra": 2})
        >>> terms.owners.tolist(), terms.positions.tolist(), terms.weights.tolist(), terms.queries
        ([0, 0], [1, 2], [2.0, 1.0], 2)
        >>> terms.totals().tolist()
        [3.0, 0.0]
    """

    owners: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    queries: int

    @classmethod
    def of(cls, queries: Sequence[str], analyzer: Analyzer, vocabulary: Mapping[str, int]) -> WeightedTerms:
        """Count the known terms of query texts."""
        if len(queries) == 1:
            return cls._of_one(analyzer(queries[0]), vocabulary)
        terms = analyzer.collect(queries)
        known = np.array([vocabulary.get(term, -1) for term in terms.vocabulary], dtype=np.int64)
        positions = known[terms.ids] if len(known) else np.zeros(0, dtype=np.int64)
        owners = np.repeat(np.arange(len(queries)), terms.lengths)[positions >= 0]
        distinct, counts = np.unique(owners * len(vocabulary) + positions[positions >= 0], return_counts=True)
        return cls(*np.divmod(distinct, len(vocabulary)), counts.astype(np.float64), len(queries))

    @classmethod
    def _of_one(cls, terms: list[str], vocabulary: Mapping[str, int]) -> WeightedTerms:
        """The same for a single query, which arrays would not make faster."""
        known = sorted(Counter(vocabulary[term] for term in terms if term in vocabulary).items())
        positions = np.array([position for position, _ in known], dtype=np.int64)
        weights = np.array([count for _, count in known], dtype=np.float64)
        return cls(np.zeros(len(known), dtype=np.int64), positions, weights, 1)

    def part(self, start: int, end: int) -> WeightedTerms:
        """The queries from ``start`` up to ``end``."""
        end = min(end, self.queries)
        inside = slice(*np.searchsorted(self.owners, [start, end]))
        return WeightedTerms(self.owners[inside] - start, self.positions[inside], self.weights[inside], end - start)

    def totals(self) -> np.ndarray:
        """The sum of weights of each query, float64 ``[queries]``."""
        return self.sums(self.weights)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of ``values`` ``[total]`` over the terms of each query, float64 ``[queries]``."""
        return np.bincount(self.owners, weights=values, minlength=self.queries)
