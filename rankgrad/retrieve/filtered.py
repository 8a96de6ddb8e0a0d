"""A retriever that finds only allowed documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad.retrieve._over_fetch import over_fetch
from rankgrad.retrieve._top import check_allowed, check_k
from rankgrad.types import Queries, Ranking, Retriever


@runtime_checkable
class SelectiveRetriever(Protocol):
    """A retriever that takes the documents that may be found into its search."""

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking: ...


class Filtered(nn.Module):
    """Rank the ``k`` best documents among those that are allowed.

    Retrievers with a ``rank_allowed`` method score under the mask. Others are asked for twice as many documents until
    ``k`` of them are allowed, at most for the whole collection, which is exact for every retriever whose rankings of
    different ``k`` begin alike.

    Args:
        retriever: a first stage.
        allowed: bool ``[documents]``, for instance of :class:`Metadata`; or a function that gives one for a query text.
        documents: the size of the collection; None = the length of ``allowed``, which a function does not have.

    Shape:
        ``allowed`` bool ``[documents]``: a buffer, where it is no function.

    Raises:
        InputError: for a mask of another size than the collection's, or a function without ``documents``.

    Example:
        >>> from rankgrad.retrieve import BM25, Metadata
        >>> metadata = Metadata({"year": [1999, 2005, 2007]})
        >>> bm25 = Filtered(BM25(["cat", "a cat sat", "cat cat"]), metadata.between("year", 2000))
        >>> bm25(["cat"], k=3).ids.tolist()
        [[2, 1, -1]]
    """

    allowed: Tensor | None

    def __init__(
        self, retriever: Retriever, allowed: Tensor | Callable[[str], Tensor], *, documents: int | None = None
    ) -> None:
        super().__init__()
        self.retriever = retriever
        mask = allowed if isinstance(allowed, Tensor) else None
        self.rule = None if isinstance(allowed, Tensor) else allowed
        if mask is None and documents is None:
            raise InputError("documents: a function of the query does not tell the size of the collection: pass it")
        self.documents = documents if documents is not None else 0 if mask is None else len(mask)
        self.register_buffer("allowed", None if mask is None else check_allowed(mask, 1, self.documents)[0].clone())

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank among the allowed documents.

        Returns:
            A ranking; where fewer than ``k`` are allowed, the places left over have id -1, score -inf and mask False.

        Raises:
            InputError: for an empty query, ``k`` below 1 or above the size of the collection, or a function that gives
                a mask of another size.
        """
        check_texts(queries, "query")
        check_k(k, self.documents)
        allowed = self._masks(queries)
        if isinstance(self.retriever, SelectiveRetriever):
            return self.retriever.rank_allowed(queries, k, allowed)
        return over_fetch(lambda wanted: self.retriever(queries, wanted), k, allowed)

    def _masks(self, queries: Queries) -> Tensor:
        if self.allowed is not None:
            return self.allowed.expand(len(queries), -1)
        rule = cast(Callable[[str], Tensor], self.rule)
        return torch.cat([check_allowed(rule(query), 1, self.documents) for query in queries])
