"""Maximal marginal relevance: each next document is relevant and unlike those before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.rerank._diversity import check_diversity, diversify, next_choice
from rankgrad.types import Queries, Ranking


def select_by_marginal_relevance(
    relevance: Tensor, similarity: Tensor, mask: Tensor, k: int, *, trade_off: float
) -> Tensor:
    """Choose, one after another, the item with the largest ``trade_off * relevance - (1 - trade_off) * similarity``.

    The similarity is the highest with an item chosen before, 0 for the first choice. Of equals the first is chosen.

    Args:
        relevance: of each item.
        similarity: of each item with each.
        mask: True = a real item; the others are chosen last.
        k: how many to choose.
        trade_off: the part of relevance.

    Shape:
        relevance, mask: ``[queries, items]``; similarity: ``[queries, items, items]``; returns int64 ``[queries, k]``.

    Example:
        >>> similarity = torch.tensor([[[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> relevance, mask = torch.tensor([[1.0, 0.9, 0.5]]), torch.ones(1, 3, dtype=torch.bool)
        >>> select_by_marginal_relevance(relevance, similarity, mask, 3, trade_off=0.5).tolist()
        [[0, 2, 1]]
    """
    closed = (~mask).to(torch.int8)
    nearest: Tensor | None = None
    chosen = []
    for _ in range(k):
        value = trade_off * relevance
        if nearest is not None:
            value = value - (1 - trade_off) * nearest
        best, closed = next_choice(value, closed)
        chosen.append(best)
        row = similarity.gather(1, best[..., None].expand(-1, -1, relevance.shape[1]))[:, 0]
        nearest = row if nearest is None else torch.maximum(nearest, row)
    return torch.cat(chosen, dim=1)


class MMR(nn.Module):
    """Choose the first ``k`` documents of a ranking for relevance and against repetition; the rest follow.

    The next document is the one with the largest ``trade_off * relevance - (1 - trade_off) * similarity``, where
    relevance is the incoming score, scaled from 0 to 1 over the query's candidates, and similarity the highest cosine
    with a document chosen before. The scores that go out say the order alone: 0, -1, -2, ...

    Args:
        embeddings: of the collection.
        k: documents to choose.
        candidates: documents to choose them from.
        trade_off: 1 keeps the order that came in, 0 looks at similarities alone.

    Shape:
        embeddings: ``[documents, dim]``; a buffer, at length 1.

    Raises:
        InputError: for embeddings that are no table of finite numbers, or a number outside of its range.

    Reference:
        J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
        Summaries", SIGIR 1998.

    Example:
        >>> stage = MMR(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), k=2)
        >>> incoming = Ranking(torch.tensor([[0, 1, 2]]), torch.tensor([[3.0, 2.9, 2.0]]), torch.ones(1, 3).bool())
        >>> stage(["a query"], incoming).ids.tolist()
        [[0, 2, 1]]
    """

    embeddings: Tensor

    def __init__(self, embeddings: Tensor, *, k: int = 10, candidates: int = 100, trade_off: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("embeddings", check_diversity(embeddings, k, candidates, trade_off))
        self.k, self.candidates, self.trade_off = k, candidates, trade_off

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for an empty query, a ranking of other queries or of another collection, or one that names a
                document twice.
        """
        return diversify(queries, ranking, self.embeddings, self._select, k=self.k, candidates=self.candidates)

    def _select(self, relevance: Tensor, similarity: Tensor, mask: Tensor, k: int) -> Tensor:
        return select_by_marginal_relevance(relevance, similarity, mask, k, trade_off=self.trade_off)
