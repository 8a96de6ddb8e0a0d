"""BM25 as a module whose index is buffers of scores computed ahead of the queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad.retrieve._inverted import check_postings, search
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.bm25_weights import Method, build_postings, check_method
from rankgrad.retrieve.postings import Postings
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

_LOWER_BOUNDS = {"bm25l": 0.5, "bm25+": 1.0}


class BM25(nn.Module):
    r"""Rank documents by the words they share with a query.

    A document's score is the sum over the query's terms, repeats counted, of the term's weight in that document. The
    weights depend on the collection alone, so they are computed once and stored by term; a query adds up a few columns.

    Args:
        documents: the collection; row numbers in rankings are positions in it. Empty documents are allowed and never
            found.
        k1: how slowly repeated occurrences saturate. 1.2 is the default of Lucene, Elasticsearch and OpenSearch.
        b: how much of a document's length is normalised away; 0.75 likewise. (0.9 and 0.4 are Anserini's.)
        method: the formula; see :func:`rankgrad.retrieve.bm25_weights.bm25_weights`.
        delta: the lower bound of BM25L and BM25+; None takes what their authors recommend, 0.5 and 1.
        analyzer: from text to terms; None for English.

    Shape:
        ``indptr`` int64 ``[terms + 1]``, ``rows`` int32 ``[entries]``, ``weights`` float32 ``[entries]``: term t's
        documents and weights are entries ``indptr[t]:indptr[t + 1]``.

    Raises:
        InputError: no documents, no document with a term, an unknown method, parameters outside of their range, or a
            lower bound of a method without one.

    Reference:
        S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", FnTIR, 2009.
        X. H. Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring", 2024.

    Example:
        >>> bm25 = BM25(["a cat sat", "a dog ran", "cats and dogs"])
        >>> ranking = bm25(["cat"], k=3)
        >>> ranking.ids.tolist(), ranking.mask.tolist()
        ([[0, 2, -1]], [[True, True, False]])
    """

    indptr: Tensor
    rows: Tensor
    weights: Tensor

    def __init__(
        self,
        documents: Sequence[str],
        *,
        k1: float = 1.2,
        b: float = 0.75,
        method: Method = "lucene",
        delta: float | None = None,
        analyzer: Analyzer | None = None,
    ) -> None:
        super().__init__()
        check_texts(documents, "document", allow_blank=True)
        self.k1, self.b, self.method = k1, b, method
        self.delta = delta if delta is not None else _LOWER_BOUNDS.get(method, 0.0)
        check_method(method, k1, b, delta=self.delta)
        if delta and method not in _LOWER_BOUNDS:
            raise InputError(f"delta={delta} is the lower bound of bm25l and bm25+: leave it out with {method}")
        self.analyzer = analyzer or Analyzer()
        self.documents = len(documents)
        terms = self.analyzer.collect(documents)
        postings = build_postings(terms, method=method, k1=k1, b=b, delta=self.delta)
        self._set_index(terms.vocabulary, *(torch.from_numpy(array) for array in postings))

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query, exactly; equal scores in order of rows.

        Args:
            queries: texts.
            k: documents a query.

        Shape:
            ids, scores, mask: ``[queries, k]``.

        Returns:
            A ranking. Documents that share no term with the query (or only terms whose weight is 0, as that of a term
            in every document is under ``"atire"`` and ``"robertson"``) are not in it: their places have id -1, score
            -inf and mask False. A query without a known term has mask False throughout; :meth:`terms` tells why.

        Raises:
            InputError: for an empty query, or ``k`` below 1 or above the size of the collection.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[documents]`` or ``[queries, documents]``, marks."""
        check_texts(queries, "query")
        return self.rank(self.weigh(queries), k, allowed=allowed)

    def weigh(self, queries: Queries) -> WeightedTerms:
        """The known terms of queries, weighted by how often they occur there."""
        return WeightedTerms.of(queries, self.analyzer, self.vocabulary)

    def rank(self, terms: WeightedTerms, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for weighted terms, as query expansion gives them; a term's weight multiplies what it adds."""
        return search(self, terms, k, allowed=allowed)

    def terms(self, query: str) -> tuple[str, ...]:
        """The terms of ``query`` that occur in the collection, each once, in order.

        Empty where a ranking is empty; ``analyzer(query)`` then tells whether the query held nothing but stop words
        (empty too) or words that no document holds.

        Example:
            >>> bm25 = BM25(["a cat sat", "a dog ran"])
            >>> bm25.terms("the running cats met nobody"), bm25.terms("nobody")
            (('cat',), ())
        """
        return tuple(term for term in dict.fromkeys(self.analyzer(query)) if term in self.vocabulary)

    def save(self, folder: str | Path) -> None:
        """Write the index: ``index.safetensors`` and ``index.json``, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        settings = {name: getattr(self, name) for name in ("k1", "b", "method", "delta", "documents")}
        settings |= {"analyzer": self.analyzer.to_dict(), "vocabulary": list(self.vocabulary)}
        write_index(folder, "bm25", {"indptr": self.indptr, "rows": self.rows, "weights": self.weights}, settings)

    @classmethod
    def load(cls, folder: str | Path) -> BM25:
        """Read an index that :meth:`save` wrote; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or is no BM25 index.
        """
        tensors, settings = read_index(folder, "bm25")
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        try:
            self.k1, self.b, self.method = settings["k1"], settings["b"], settings["method"]
            self.delta, self.documents = settings["delta"], settings["documents"]
            self.analyzer = Analyzer(**settings["analyzer"])
            self._set_index(settings["vocabulary"], tensors["indptr"], tensors["rows"], tensors["weights"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder} is no complete BM25 index ({error!r}): write it again") from error
        check_postings(folder, self.vocabulary, self)
        return self

    @classmethod
    def from_postings(
        cls, vocabulary: Sequence[str], postings: Postings, *, documents: int, analyzer: Analyzer, k1: float, b: float
    ) -> BM25:
        """An index of Lucene's method whose weights are there already, such as learned ones."""
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self.k1, self.b, self.method, self.delta = k1, b, "lucene", 0.0
        self.documents, self.analyzer = documents, analyzer
        self._set_index(list(vocabulary), *(torch.from_numpy(array) for array in postings))
        return self

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return (
            f"documents={self.documents}, terms={len(self.vocabulary)}, method={self.method}, k1={self.k1}, b={self.b}"
        )

    def _set_index(self, vocabulary: list[str], indptr: Tensor, rows: Tensor, weights: Tensor) -> None:
        self.vocabulary = {term: position for position, term in enumerate(vocabulary)}
        self.register_buffer("indptr", indptr)
        self.register_buffer("rows", rows)
        self.register_buffer("weights", weights)
