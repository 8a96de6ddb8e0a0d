"""An exported cross-encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankgrad.deploy.graph import Graph
from rankgrad.deploy.pairs import score_lists, score_pairs
from rankgrad.deploy.results import Result, best_first, check_request, score_distinct
from rankgrad.tokens import PairTokenizer


class CrossEncoder:
    """Score (query, document) pairs with an exported graph.

    Args:
        graph: inputs as its file declares them; output logits ``[batch, 1]``.
        tokenizer: the settings the model was trained with.
        listwise: a score depends on the query's other candidates: they go through the graph in one run.
    """

    def __init__(self, graph: Graph, tokenizer: PairTokenizer, *, listwise: bool = False) -> None:
        self.graph = graph
        self.tokenizer = tokenizer
        self.listwise = listwise

    def score(self, queries: Sequence[str], documents: Sequence[str], *, batch_size: int | None = None) -> np.ndarray:
        """Score pair i = (``queries[i]``, ``documents[i]``); texts beyond the length limits are cut.

        A listwise model takes all pairs with the same query text for one list, in int8 too.

        Args:
            queries: one text a pair.
            documents: one text a pair.
            batch_size: pairs of one run; None suits the variant: one for int8, else as many short ones as pay. A
                listwise model's runs are lists, whatever it is.

        Returns:
            Float32 ``[pairs]``, in the order given; higher is better.

        Raises:
            TypeError: for a bare string.
            InputError: for an empty query, no pairs, or lists of different lengths.
        """
        if self.listwise:
            return score_lists(self.graph, self.tokenizer, queries, documents)
        return score_pairs(self.graph, self.tokenizer, queries, documents, batch_size=batch_size)

    def rerank(self, query: str, documents: Sequence[str], *, k: int | None = None) -> list[Result]:
        """Put documents in order for a query, the best first; of equal scores the lowest index comes first.

        Args:
            query: what is looked for.
            documents: the candidates; copies of a text are one candidate.
            k: how many to give back; None for all.

        Raises:
            TypeError: for a bare string as ``documents``.
            InputError: for an empty query or document, or ``k`` outside 1 to the number of documents.
        """
        check_request(query, documents, k)
        scores = score_distinct(documents, lambda texts: self.score([query] * len(texts), texts))
        return best_first(documents, scores, k)
