"""Determinantal point process: the set of documents that is relevant and spans the most volume."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.rerank._diversity import check_diversity, diversify, next_choice
from rankgrad.types import Queries, Ranking

# What is left of a unit vector that depends on those chosen, to float64's precision.
_SMALLEST = 1e-10


def select_by_determinant(relevance: Tensor, similarity: Tensor, mask: Tensor, k: int, *, trade_off: float) -> Tensor:
    r"""Choose greedily for the largest ``trade_off * sum(relevance) + (1 - trade_off) * log det(similarity)``.

    That is the log-probability, up to a constant, of a determinantal process with kernel ``q_i S_ij q_j`` and
    ``ln q = trade_off / (2 (1 - trade_off)) * relevance``. The determinant grows by ``d_i^2``, what is left of item i
    outside of the span of those chosen, which an incremental Cholesky factor gives in O(items) a choice and item; q
    enters as a logarithm only, so nothing overflows. d^2 counts as 1e-10 at least, so repetitions come last, by
    relevance, and of equals the first is chosen.

    Args:
        relevance: of each item.
        similarity: of each item with each, positive semi-definite, 1 with itself.
        mask: True = a real item; the others are chosen last.
        k: how many to choose.
        trade_off: the part of relevance.

    Shape:
        relevance, mask: ``[queries, items]``; similarity: ``[queries, items, items]``; returns int64 ``[queries, k]``.

    Reference:
        L. Chen, G. Zhang, E. Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation
        Diversity", NeurIPS 2018.

    Example:
        >>> similarity = torch.tensor([[[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> relevance, mask = torch.tensor([[1.0, 0.9, 0.5]]), torch.ones(1, 3, dtype=torch.bool)
        >>> select_by_determinant(relevance, similarity, mask, 3, trade_off=0.5).tolist()
        [[0, 2, 1]]
    """
    closed = (~mask).to(torch.int8)
    left = similarity.diagonal(dim1=1, dim2=2).clone()
    factor = similarity.new_zeros(*relevance.shape, k)
    chosen = []
    for step in range(k):
        value = trade_off * relevance + (1 - trade_off) * left.clamp(min=_SMALLEST).log()
        best, closed = next_choice(value, closed)
        chosen.append(best)
        own = factor.gather(1, best[..., None].expand(-1, -1, k))
        row = similarity.gather(1, best[..., None].expand(-1, -1, relevance.shape[1]))[:, 0]
        remaining = left.gather(1, best)
        column = (row - (factor * own).sum(-1)) / remaining.clamp(min=_SMALLEST).sqrt()
        # An item without anything left spans nothing new.
        column = column.masked_fill(remaining <= _SMALLEST, 0.0)
        factor[:, :, step] = column
        left = left - column.square()
    return torch.cat(chosen, dim=1)


class DPP(nn.Module):
    """Choose the first ``k`` documents of a ranking as a relevant set that spans much volume; the rest follow.

    The set is grown greedily for the largest ``trade_off * sum of relevance + (1 - trade_off) * log det of cosines``,
    where relevance is the incoming score, scaled from 0 to 1 over the query's candidates; see
    :func:`select_by_determinant`. The scores that go out say the order alone: 0, -1, -2, ...

    Args:
        embeddings: of the collection.
        k: documents to choose. Beyond the width of the embeddings nothing new is spanned, and relevance decides.
        candidates: documents to choose them from.
        trade_off: 1 keeps the order that came in, 0 looks at the volume alone.

    Shape:
        embeddings: ``[documents, dim]``; a buffer, at length 1.

    Raises:
        InputError: for embeddings that are no table of finite numbers, or a number outside of its range.

    Reference:
        L. Chen, G. Zhang, E. Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation
        Diversity", NeurIPS 2018.

    Example:
        >>> stage = DPP(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), k=2)
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
        return select_by_determinant(relevance, similarity, mask, k, trade_off=self.trade_off)
