"""An exported ColBERT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankgrad._checks import check_texts
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.maxsim import PackedTokens, maxsim
from rankgrad.deploy.results import Result, best_first, check_request, score_distinct
from rankgrad.tokens import LateInteractionTokenizer


class ColBERT:
    """Encode queries and documents with an exported graph and compare them by MaxSim.

    Args:
        graph: inputs input_ids and attention_mask; output unit vectors ``[batch, tokens, dim]``.
        tokenizer: the settings the model was trained with.
        dim: width of the token embeddings.
        query_weights: a weight for each token of the vocabulary, float32, by which queries' embeddings are multiplied;
            None = all alike.
    """

    def __init__(
        self,
        graph: Graph,
        tokenizer: LateInteractionTokenizer,
        *,
        dim: int,
        query_weights: np.ndarray | None = None,
    ) -> None:
        self.graph = graph
        self.tokenizer = tokenizer
        self.dim = dim
        self.query_weights = query_weights

    def encode_queries(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Encode query texts: embeddings float32 ``[queries, tokens, dim]`` and mask bool ``[queries, tokens]``.

        Where the mask is False the embedding is zero.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty query or an empty batch.
        """
        check_texts(texts, "query")
        tokens = self.tokenizer.queries(texts)
        embeddings = np.zeros((*tokens.input_ids.shape, self.dim), dtype=np.float32)
        for rows, found in self.graph.batches(tokens):
            embeddings[rows, : found.shape[1]] = found
        embeddings *= (tokens.scored * self.weights(tokens.input_ids))[..., None]
        return embeddings, tokens.scored

    def weights(self, input_ids: np.ndarray) -> np.ndarray:
        """What each token of a query counts: float32 of the shape of ``input_ids``, 1 where there is no table."""
        if self.query_weights is None:
            return np.ones(input_ids.shape, dtype=np.float32)
        return self.query_weights[input_ids]

    def encode_documents(self, texts: Sequence[str], *, batch_size: int | None = None) -> PackedTokens:
        """Encode document texts; only the tokens that MaxSim scores are kept. Texts beyond the length limit are cut.

        Args:
            texts: the documents.
            batch_size: documents of one run; None suits the variant: one for int8, else as many short ones as pay.

        Returns:
            Embeddings float32 ``[total_tokens, dim]`` and ``cu_seqlens`` int32 ``[documents + 1]``, in the order given.

        Raises:
            TypeError: for a bare string.
        """
        if isinstance(texts, str):
            raise TypeError("texts: expected a sequence of strings, got one string; wrap it in a list")
        tokens = self.tokenizer.documents(texts)
        cu_seqlens = np.concatenate([[0], tokens.scored.sum(axis=1).cumsum()]).astype(np.int32)
        embeddings = np.empty((int(cu_seqlens[-1]), self.dim), dtype=np.float32)
        for rows, found in self.graph.batches(tokens, batch_size=batch_size):
            for row, document in zip(rows, found, strict=True):
                scored = tokens.scored[row, : len(document)]
                embeddings[cu_seqlens[row] : cu_seqlens[row + 1]] = document[scored]
        return PackedTokens(embeddings, cu_seqlens)

    def score(self, queries: Sequence[str], documents: PackedTokens) -> np.ndarray:
        """MaxSim of every query with every encoded document: float32 ``[queries, documents]``."""
        embeddings, mask = self.encode_queries(queries)
        return np.stack([maxsim(query, documents, real) for query, real in zip(embeddings, mask, strict=True)])

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
