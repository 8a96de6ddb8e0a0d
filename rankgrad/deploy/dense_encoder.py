"""An exported dense encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rankgrad._checks import check_texts
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.results import Result, best_first, check_request, score_distinct
from rankgrad.tokens import LateInteractionTokenizer, Tokens

_SHORTEST = 1e-12


class DenseEncoder:
    """Encode queries and documents into one vector each with an exported graph, and compare these.

    Pooling, dense layers and normalisation are inside the graph.

    Args:
        graph: inputs input_ids and attention_mask; first output embeddings ``[batch, dim]``.
        tokenizer: the lengths and prompts the model was trained with.
        dim: width of the embeddings.
        similarity: ``cosine`` or ``dot``.
        normalize: the embeddings have unit length.
        scale: times the similarities.
    """

    def __init__(
        self,
        graph: Graph,
        tokenizer: LateInteractionTokenizer,
        *,
        dim: int,
        similarity: Literal["cosine", "dot"] = "cosine",
        normalize: bool = True,
        scale: float = 1.0,
    ) -> None:
        if similarity not in ("cosine", "dot"):
            raise ValueError(f"similarity={similarity!r}: expected cosine or dot")
        self.graph = graph
        self.tokenizer = tokenizer
        self.dim = dim
        self.similarity: Literal["cosine", "dot"] = similarity
        self.normalize = normalize
        self.scale = scale

    def encode_queries(self, texts: Sequence[str], *, batch_size: int | None = None) -> np.ndarray:
        """Embeddings of query texts, the prompt put before each: float32 ``[queries, dim]``, in the order given.

        Args:
            texts: the queries.
            batch_size: queries of one run; None suits the variant: one for int8, else as many short ones as pay.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty query or an empty batch.
        """
        check_texts(texts, "query")
        return self._encoded(self.tokenizer.queries(texts), batch_size)

    def encode_documents(self, texts: Sequence[str], *, batch_size: int | None = None) -> np.ndarray:
        """Embeddings of document texts: float32 ``[documents, dim]``; texts beyond the length limit are cut.

        Args:
            texts: the documents.
            batch_size: as for queries.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty batch.
        """
        check_texts(texts, "document", allow_blank=True)
        return self._encoded(self.tokenizer.documents(texts), batch_size)

    def score(self, queries: Sequence[str], documents: np.ndarray) -> np.ndarray:
        """Similarity of every query with every encoded document: float32 ``[queries, documents]``."""
        embeddings = self.encode_queries(queries)
        if self.similarity == "cosine" and not self.normalize:
            embeddings, documents = _unit(embeddings), _unit(documents)
        return np.float32(self.scale) * (embeddings @ documents.T)

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

    def _encoded(self, tokens: Tokens, batch_size: int | None) -> np.ndarray:
        embeddings = np.empty((len(tokens.input_ids), self.dim), dtype=np.float32)
        for rows, found in self.graph.batches(tokens, batch_size=batch_size):
            embeddings[rows] = found
        return embeddings


def _unit(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), _SHORTEST)
