"""An exported ColBERT that is one graph: tokens of queries and candidates in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rankgrad._checks import check_texts
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.results import Result, best_first, check_request, score_distinct
from rankgrad.tokens import LateInteractionTokenizer, Tokens

TOKENS_A_RUN = 4096


class QueriesAndDocuments(NamedTuple):
    """What the graph takes.

    Shape:
        query_input_ids, query_attention_mask: int64 ``[queries, query_tokens]``; where the rules expand queries, as
            many columns as they are expanded to, or more.
        document_input_ids, document_attention_mask: int64 ``[documents, document_tokens]``, padding anywhere.
    """

    query_input_ids: np.ndarray
    query_attention_mask: np.ndarray
    document_input_ids: np.ndarray
    document_attention_mask: np.ndarray

    @classmethod
    def of(cls, queries: Tokens, documents: Tokens) -> QueriesAndDocuments:
        """The parts of two padded batches that the graph reads."""
        return cls(queries.input_ids, queries.attention_mask, documents.input_ids, documents.attention_mask)


class ColBERTReranker:
    """Score documents for queries in one run of one graph.

    Both encoders, the expansion of queries, the list of tokens that are not scored, and MaxSim are inside. Documents
    are encoded anew each time; where they are known beforehand, :class:`rankgrad.deploy.ColBERT` keeps what it encoded.

    Args:
        graph: inputs as in :class:`QueriesAndDocuments`; output scores ``[queries, documents]``.
        tokenizer: the settings the model was trained with.
    """

    def __init__(self, graph: Graph, tokenizer: LateInteractionTokenizer) -> None:
        self.graph = graph
        self.tokenizer = tokenizer

    def score(self, queries: Sequence[str], documents: Sequence[str], *, batch_size: int | None = None) -> np.ndarray:
        """MaxSim of every query with every document: float32 ``[queries, documents]``, in the order given.

        Args:
            queries: the queries.
            documents: the candidates of all of them; ``-inf`` for one without a token that counts.
            batch_size: documents of one run; None suits the variant: one for int8, else as many of like length as
                ``TOKENS_A_RUN`` tokens hold.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty query, or no query or document.
        """
        check_texts(queries, "query")
        check_texts(documents, "document", allow_blank=True)
        asked, tokens = self.tokenizer.queries(queries), self.tokenizer.documents(documents)
        size = batch_size or self.graph.batch_size
        scores = np.empty((len(queries), len(documents)), dtype=np.float32)
        order, start = np.argsort(-tokens.lengths, kind="stable"), 0
        while start < len(order):
            fitting = max(1, TOKENS_A_RUN // max(1, int(tokens.lengths[order[start]])))
            rows = order[start : start + (size or fitting)]
            batch = Tokens(*(field[rows] for field in tokens)).trimmed()
            scores[:, rows] = self.graph(QueriesAndDocuments.of(asked, batch))
            start += len(rows)
        return scores

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
        scores = score_distinct(documents, lambda texts: self.score([query], texts)[0])
        return best_first(documents, scores, k)
