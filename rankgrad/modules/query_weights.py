"""Weights of a query's tokens: a rare word counts for more than a common one."""

from __future__ import annotations

from collections.abc import Sequence
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
        >>> weights = QueryWeights(3).fit(torch.tensor([0, 3, 1]), documents=3)
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
        self, counts: Tensor, *, documents: int, whole: Sequence[int] = (), neutral: Sequence[int] = ()
    ) -> QueryWeights:
        """Set the table to inverse document frequencies, divided by their mean over the documents' distinct words, so
        that scores keep their scale.

        Args:
            counts: documents that hold each token, ``[width]``.
            documents: how many there are.
            whole: ids that stand for a whole text ([CLS]): they get the weight of a word that no document holds.
            neutral: ids that stand for no word: they get 1.

        Raises:
            InputError: for documents without words.
        """
        counts = counts.double()
        counts[[*whole, *neutral]] = 0
        if not counts.any():
            raise InputError(f"counts: {documents} documents hold no word to count; pass the collection's texts")
        table = inverse_document_frequencies(counts, documents)
        table /= (counts * table).sum() / counts.sum()
        table[list(neutral)] = 1.0
        self.weight.copy_(table)
        return self


def inverse_document_frequencies(counts: Tensor, documents: int) -> Tensor:
    """``log(1 + (N - n + 0.5) / (n + 0.5))`` for n of N documents, of the shape of ``counts``.

    Example:
        >>> inverse_document_frequencies(torch.tensor([0.0, 3.0]), 3)
        tensor([2.0794, 0.1335])
    """
    return torch.log1p((documents - counts + 0.5) / (counts + 0.5))
