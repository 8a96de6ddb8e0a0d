"""TF-IDF: the cosine between a query's and a document's term weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import check_texts
from rankgrad.retrieve._inverted import search
from rankgrad.retrieve._lexical_files import load_lexical, save_lexical, set_index
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.postings import count_postings
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking


class TFIDF(nn.Module):
    r"""Rank documents by the cosine of TF-IDF vectors.

    The weight of a term in a text is ``f * idf``, divided by the length of the text's vector. With N documents of which
    df hold the term, ``idf = 1 + ln((1 + N) / (1 + df))``; f is how often the text holds the term, or
    ``1 + ln(occurrences)`` with ``sublinear``. These are scikit-learn's ``TfidfVectorizer`` conventions; words that no
    document holds count for nothing. Documents' weights are computed once and stored by term.

    Args:
        documents: the collection; row numbers in rankings are positions in it.
        sublinear: damp repeats by a logarithm.
        normalize: divide by the length of the vectors; else scores are plain dot products.
        analyzer: from text to terms; None for English.

    Shape:
        ``indptr`` int64 ``[terms + 1]``, ``rows`` int32 ``[entries]``, ``weights`` float32 ``[entries]``: term t's
        documents and weights are entries ``indptr[t]:indptr[t + 1]``; ``idf`` float32 ``[terms]``.

    Raises:
        InputError: no documents, or no document with a term.

    Reference:
        G. Salton, C. Buckley, "Term-weighting approaches in automatic text retrieval", IPM, 1988.

    Example:
        >>> tfidf = TFIDF(["a cat sat", "a dog ran", "cats and dogs"])
        >>> ranking = tfidf(["cat"], k=3)
        >>> ranking.ids.tolist(), ranking.mask.tolist()
        ([[2, 0, -1]], [[True, True, False]])
    """

    indptr: Tensor
    rows: Tensor
    weights: Tensor
    idf: Tensor
    vocabulary: dict[str, int]
    documents: int

    def __init__(
        self,
        documents: Sequence[str],
        *,
        sublinear: bool = False,
        normalize: bool = True,
        analyzer: Analyzer | None = None,
    ) -> None:
        super().__init__()
        check_texts(documents, "document", allow_blank=True)
        self.sublinear, self.normalize = sublinear, normalize
        self.analyzer = analyzer or Analyzer()
        terms = self.analyzer.collect(documents)
        counts = count_postings(terms)
        idf = 1 + np.log((1 + len(documents)) / (1 + counts.document_frequency))
        weights = self._damped(counts.frequency) * idf[counts.term]
        if normalize:
            weights /= np.sqrt(np.bincount(counts.rows, weights=weights**2, minlength=len(documents)))[counts.rows]
        set_index(self, terms, counts.postings(weights))
        self.register_buffer("idf", torch.from_numpy(idf).float())

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query, exactly; equal scores in order of rows.

        Returns:
            A ranking; documents that share no term with the query are not in it (id -1, score -inf, mask False).

        Raises:
            InputError: for an empty query, or ``k`` below 1 or above the size of the collection.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[documents]`` or ``[queries, documents]``, marks."""
        check_texts(queries, "query")
        return self.rank(self.weigh(queries), k, allowed=allowed)

    def weigh(self, queries: Queries) -> WeightedTerms:
        """The known terms of queries, weighted by how often they occur there, damped where repeats are."""
        terms = WeightedTerms.of(queries, self.analyzer, self.vocabulary)
        return terms._replace(weights=self._damped(terms.weights))

    def rank(self, terms: WeightedTerms, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for weighted terms, as query expansion gives them; their weights stand for f."""
        weights = terms.weights * self.idf.cpu().numpy()[terms.positions]
        if self.normalize:
            lengths = np.sqrt(terms.sums(weights**2))
            weights /= np.where(lengths > 0, lengths, 1.0)[terms.owners]
        return search(self, terms._replace(weights=weights), k, allowed=allowed)

    def save(self, folder: str | Path) -> None:
        """Write the index, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        save_lexical(self, folder, "tfidf", buffers=("idf",), options=("sublinear", "normalize"))

    @classmethod
    def load(cls, folder: str | Path) -> TFIDF:
        """Read an index that :meth:`save` wrote; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or is no TF-IDF index.
        """
        return load_lexical(cls, folder, "tfidf", buffers=("idf",), options=("sublinear", "normalize"))

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, terms={len(self.vocabulary)}, sublinear={self.sublinear}"

    def _damped(self, frequency: np.ndarray) -> np.ndarray:
        return 1 + np.log(frequency) if self.sublinear else frequency.astype(np.float64)
