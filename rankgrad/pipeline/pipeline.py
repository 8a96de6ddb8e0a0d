"""Retrievers, a fusion and rerankers, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from rankgrad._checks import InputError, check_texts
from rankgrad.pipeline._plain import as_modules
from rankgrad.pipeline.cut import Cut
from rankgrad.types import Fusion, Queries, Ranking, Reranker, Retriever


class Pipeline(nn.Module):
    """A whole search system as one module: retrieve ``k`` documents, fuse, rerank.

    Every stage takes and gives a :class:`rankgrad.types.Ranking`, and gradients flow through those that carry them.
    Stages are registered: ``parameters()``, ``state_dict()``, ``to()``, ``train()`` and ``eval()`` reach all of them.
    ``pipeline >> stage`` is the pipeline with one more reranker, ``pipeline[:k]`` the one whose ranking ends after k
    documents; both share their stages with the pipeline that they are made of.

    Args:
        retrievers: a first stage, or several over the same collection.
        fuse: makes one ranking of several; needed with more than one retriever.
        rerank: later stages, in the order in which they run.
        k: documents that each first stage gives; later stages see no more than these.

    Shape:
        returns ids, scores, mask ``[queries, k]``.

    Raises:
        InputError: without a retriever, with several and no ``fuse``, or for ``k`` below 1.

    Example:
        >>> import torch
        >>> def three(queries, k):
        ...     return Ranking(torch.tensor([[4, 2, 7]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3).bool())
        >>> def reverse(queries, ranking):
        ...     return ranking._replace(ids=ranking.ids.flip(1))
        >>> Pipeline(three, rerank=[reverse], k=3)(["a query"]).ids.tolist()
        [[7, 2, 4]]
        >>> (Pipeline(three, k=3)[:2] >> reverse)(["a query"]).ids.tolist()
        [[2, 4]]
    """

    def __init__(
        self,
        retrievers: Sequence[Retriever] | Retriever,
        *,
        fuse: Fusion | None = None,
        rerank: Sequence[Reranker] = (),
        k: int = 100,
    ) -> None:
        super().__init__()
        first = list(retrievers) if isinstance(retrievers, (Sequence, nn.ModuleList)) else [retrievers]
        if not first:
            raise InputError("no retriever given: pass at least one")
        if len(first) > 1 and fuse is None:
            raise InputError(f"{len(first)} retrievers give {len(first)} rankings: pass fuse= to make one of them")
        if k < 1:
            raise InputError(f"k={k} retrieves nothing: pass at least 1")
        self.retrievers = as_modules(first)
        self.fuse = None if fuse is None else as_modules([fuse])[0]
        self.rerank = as_modules(rerank)
        self.k = k

    def forward(self, queries: Queries) -> Ranking:
        """Rank the collection for each query.

        Raises:
            InputError: for an empty query, or what a stage refuses.
        """
        check_texts(queries, "query")
        rankings = [retriever(queries, self.k) for retriever in self.retrievers]
        ranking = rankings[0]
        if self.fuse is not None:
            # A union of several rankings may be wider than each of them.
            ranking = Ranking(*(field[:, : self.k] for field in self.fuse(rankings)))
        for reranker in self.rerank:
            ranking = reranker(queries, ranking)
        return ranking

    def __rshift__(self, stage: Reranker) -> Pipeline:
        """This pipeline with one more reranker."""
        return Pipeline(list(self.retrievers), fuse=self.fuse, rerank=[*self.rerank, stage], k=self.k)

    def __getitem__(self, head: slice) -> Pipeline:
        """This pipeline with its ranking cut: ``pipeline[:k]``.

        Raises:
            InputError: for any other index.
        """
        if not isinstance(head, slice) or head.start is not None or head.step is not None or head.stop is None:
            raise InputError(f"a pipeline is cut by [:k], the first k documents of its ranking; got {head}")
        return self >> Cut(head.stop)
