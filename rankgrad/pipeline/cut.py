"""The head of a ranking."""

from __future__ import annotations

from torch import nn

from rankgrad._checks import InputError
from rankgrad.types import Queries, Ranking


class Cut(nn.Module):
    """Keep the first ``k`` documents of a ranking, and let the later stages see no others.

    Args:
        k: how many; at least 1.

    Shape:
        ids, scores, mask ``[queries, min(k, documents)]``.

    Raises:
        InputError: for ``k`` below 1.

    Example:
        >>> import torch
        >>> ranking = Ranking(torch.tensor([[4, 2, 7]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3).bool())
        >>> Cut(2)(["a query"], ranking).ids
        tensor([[4, 2]])
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise InputError(f"k={k} keeps nothing: pass at least 1")
        self.k = k

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        return Ranking(*(field[:, : self.k] for field in ranking))

    def extra_repr(self) -> str:
        """The number, for ``print``."""
        return f"k={self.k}"
