"""An exported sparse encoder (SPLADE)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankgrad._checks import check_texts
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.results import Result, best_first, check_request, score_distinct
from rankgrad.deploy.sparse_rows import SparseRows, largest
from rankgrad.tokens import LateInteractionTokenizer, Tokens


class SparseEncoder:
    """Encode texts into weights of the vocabulary's terms with an exported graph; scores are dot products.

    With a table of query weights only documents go through the graph: a query's terms are its own tokens.

    Args:
        graph: inputs input_ids and attention_mask; output weights ``[batch, width]``.
        tokenizer: the lengths the model was trained with.
        width: how many terms there are.
        query_weights: a weight for each term, float32 ``[width]``, 0 for special tokens; None = queries are encoded.
        query_top_k, document_top_k: keep so many terms, those with the largest weights; None = all.
    """

    def __init__(
        self,
        graph: Graph,
        tokenizer: LateInteractionTokenizer,
        *,
        width: int,
        query_weights: np.ndarray | None = None,
        query_top_k: int | None = None,
        document_top_k: int | None = None,
    ) -> None:
        if query_weights is not None and query_weights.shape != (width,):
            raise ValueError(f"query_weights: expected [{width}], got {list(query_weights.shape)}")
        self.graph = graph
        self.tokenizer = tokenizer
        self.width = width
        self.query_weights = query_weights
        self.query_top_k = query_top_k
        self.document_top_k = document_top_k

    def encode_queries(self, texts: Sequence[str], *, batch_size: int | None = None) -> SparseRows:
        """Terms and weights of query texts, in the order given.

        Args:
            texts: the queries.
            batch_size: queries of one run; None suits the variant: one for int8, else as many short ones as pay.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty query or an empty batch.
        """
        check_texts(texts, "query")
        tokens = self.tokenizer.queries(texts)
        if self.query_weights is not None:
            return self._looked_up(tokens, self.query_weights)
        return self._encoded(tokens, self.query_top_k, batch_size)

    def encode_documents(self, texts: Sequence[str], *, batch_size: int | None = None) -> SparseRows:
        """Terms and weights of document texts; texts beyond the length limit are cut.

        Args:
            texts: the documents.
            batch_size: as for queries.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty batch.
        """
        check_texts(texts, "document", allow_blank=True)
        return self._encoded(self.tokenizer.documents(texts), self.document_top_k, batch_size)

    def score(self, queries: Sequence[str], documents: SparseRows) -> np.ndarray:
        """Dot product of every query with every encoded document: float32 ``[queries, documents]``."""
        return documents.dots(self.encode_queries(queries).dense(self.width))

    def terms(self, rows: SparseRows) -> list[dict[str, float]]:
        """The words of each row with their weights, the heaviest first: what an inverted index takes."""
        found = []
        for indices, values in rows.split():
            order = np.argsort(-values, kind="stable")
            words = [self.tokenizer.tokenizer.id_to_token(place) for place in indices[order].tolist()]
            # Places beyond the vocabulary, which fill its table up to a round size, have no word.
            pairs = zip(words, values[order].tolist(), strict=True)
            found.append({word: value for word, value in pairs if word is not None})
        return found

    def rerank(self, query: str, documents: Sequence[str], *, k: int | None = None) -> list[Result]:
        """Put documents in order for a query, the best first; of equal scores the lowest index comes first.

        Args:
            query: what is looked for.
            documents: the candidates.
            k: how many to give back; None for all.

        Raises:
            TypeError: for a bare string as ``documents``.
            InputError: for an empty query or document, or ``k`` outside 1 to the number of documents.
        """
        check_request(query, documents, k)
        scores = score_distinct(documents, lambda texts: self.score([query], self.encode_documents(texts))[0])
        return best_first(documents, scores, k)

    def _encoded(self, tokens: Tokens, top_k: int | None, batch_size: int | None) -> SparseRows:
        # A run is dense for a moment only: all texts at once would be as wide as the vocabulary.
        encoded: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for rows, weights in self.graph.batches(tokens, batch_size=batch_size):
            encoded.update(zip(rows.tolist(), SparseRows.of(largest(weights, top_k)).split(), strict=True))
        return SparseRows.joined([encoded[row] for row in range(len(encoded))])

    def _looked_up(self, tokens: Tokens, weights: np.ndarray) -> SparseRows:
        """Each query's own terms with the weights that the table gives them."""
        rows = []
        for ids, real in zip(tokens.input_ids, tokens.attention_mask.astype(bool), strict=True):
            dense = np.zeros((1, self.width), dtype=np.float32)
            dense[0, ids[real]] = weights[ids[real]]
            rows += SparseRows.of(largest(dense, self.query_top_k)).split()
        return SparseRows.joined(rows)
