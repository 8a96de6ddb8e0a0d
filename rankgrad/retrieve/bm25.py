"""BM25 as a module whose index is buffers of scores computed ahead of the queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.bm25_weights import Method, build_postings, check_method
from rankgrad.types import Queries, Ranking

# Score rows of a group of queries stay near the cache: 2**20 floats are 4 MiB.
_GROUP_ELEMENTS = 1 << 20


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
        InputError: no documents, no document with a term, an unknown method, or parameters outside of their range.

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
        check_method(method, k1, b)
        self.k1, self.b, self.method = k1, b, method
        self.delta = delta if delta is not None else {"bm25l": 0.5, "bm25+": 1.0}.get(method, 0.0)
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
        check_texts(queries, "query")
        if not 1 <= k <= self.documents:
            raise InputError(f"k={k} must lie between 1 and the size of the collection: pass {self.documents} at most")
        group = max(1, _GROUP_ELEMENTS // self.documents)
        parts = [_top(self._scores(queries[start : start + group]), k) for start in range(0, len(queries), group)]
        return Ranking(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

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
            InputError: when ``folder`` holds files that are no index.
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
        entries = {len(self.rows), len(self.weights), int(self.indptr[-1])}
        if len(self.indptr) != len(self.vocabulary) + 1 or len(entries) > 1 or int(self.rows.max()) >= self.documents:
            raise InputError(f"{folder}: vocabulary and tensors are of different indexes: write it again")
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

    def _scores(self, queries: Queries) -> Tensor:
        """Scores of all documents, float32 ``[queries, documents]``; 0 where no term is shared."""
        scores = torch.zeros(len(queries), self.documents, device=self.weights.device)
        terms = self.analyzer.collect(queries)
        known = np.array([self.vocabulary.get(term, -1) for term in terms.vocabulary], dtype=np.int64)
        positions = known[terms.ids] if len(known) else np.zeros(0, dtype=np.int64)
        owners = np.repeat(np.arange(len(queries)), terms.lengths)[positions >= 0]
        distinct, counts = np.unique(owners * len(self.vocabulary) + positions[positions >= 0], return_counts=True)
        owners, positions = np.divmod(distinct, len(self.vocabulary))
        wanted = torch.from_numpy(positions).to(self.indptr.device)
        starts, ends = self.indptr[wanted].tolist(), self.indptr[wanted + 1].tolist()
        # Term by term: within a term no document repeats, so the sum has one order on every device.
        for owner, start, end, count in zip(owners.tolist(), starts, ends, counts.tolist(), strict=True):
            scores[owner].index_add_(0, self.rows[start:end], self.weights[start:end], alpha=count)
        return scores


def _top(scores: Tensor, k: int) -> Ranking:
    """The ``k`` highest positive scores of each row; equal ones in order of their position."""
    width = min(k + 1, scores.shape[-1])
    values, ids = scores.topk(width)
    # torch.topk picks any of the entries that tie at the cut; only such rows need a full look.
    for row in (values[:, k - 1] == values[:, -1]).logical_and(values[:, k - 1] > 0).nonzero().flatten().tolist():
        if width > k:
            inside = (scores[row] >= values[row, k - 1]).nonzero().flatten()
            order = scores[row, inside].argsort(descending=True, stable=True)[:k]
            ids[row, :k] = inside[order]
    ids = ids[:, :k].sort(dim=-1).values
    values, order = scores.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    mask = values > 0
    return Ranking(ids.gather(1, order).masked_fill(~mask, -1), values.masked_fill(~mask, -torch.inf), mask)
