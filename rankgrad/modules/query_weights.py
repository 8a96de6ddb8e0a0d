"""Weights of a query's tokens: a rare word counts for more than a common one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError


class QueryWeights(nn.Module):
    """Weigh the token embeddings of queries by a table over the vocabulary, which starts at 1.

    A weighted sum of maxima is the sum of the maxima of weighted embeddings, so whatever compares by inner products
    needs to know nothing of it: kernels, indexes, codecs.

    Args:
        width: of the vocabulary.
        learn: train the table; a weight below 0 counts as 0.

    Shape:
        - embeddings: ``[..., tokens, dim]``; input_ids: ``[..., tokens]``
        - returns: ``[..., tokens, dim]``

    Reference:
        "Incorporating Token Importance in Multi-Vector Retrieval", 2025.

    Example:
        >>> weights = QueryWeights(3).fit([[1, 2], [1], [1]])
        >>> weights(torch.ones(1, 2, 1), torch.tensor([[1, 2]])).flatten().detach()
        tensor([0.3866, 2.8401])
    """

    def __init__(self, width: int, *, learn: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width), learn)

    @property
    def kind(self) -> Literal["fixed", "learned"]:
        """How the table came to be, or comes."""
        return "learned" if self.weight.requires_grad else "fixed"

    @property
    def table(self) -> Tensor:
        """The weights as they count, ``[width]``."""
        return self.weight.detach().clamp(min=0.0)

    def forward(self, embeddings: Tensor, input_ids: Tensor) -> Tensor:
        """The embeddings, longer or shorter."""
        return embeddings * self.weight.clamp(min=0.0)[input_ids].unsqueeze(-1)

    @torch.no_grad()
    def fit(
        self, documents: Iterable[Sequence[int]], *, whole: Sequence[int] = (), neutral: Sequence[int] = ()
    ) -> QueryWeights:
        """Set the table to inverse document frequencies, ``log(1 + (N - n + 0.5) / (n + 0.5))`` for n of N documents.

        They are divided by their mean over the documents' distinct words, so that scores keep their scale.

        Args:
            documents: the token ids of each.
            whole: ids that stand for a whole text ([CLS]): they get the weight of a word that no document holds.
            neutral: ids that stand for no word: they get 1.

        Raises:
            InputError: for no documents, or documents without words.
        """
        counts, total = torch.zeros(len(self.weight), dtype=torch.float64), 0
        for ids in documents:
            counts[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
            total += 1
        counts[[*whole, *neutral]] = 0
        if not counts.any():
            raise InputError(f"documents: {total} documents hold no word to count; pass the collection's texts")
        table = torch.log1p((total - counts + 0.5) / (counts + 0.5))
        table /= (counts * table).sum() / counts.sum()
        table[list(neutral)] = 1.0
        self.weight.copy_(table)
        return self
