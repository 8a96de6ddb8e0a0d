"""Each query to the retriever that suits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from rankgrad._checks import InputError, check_texts
from rankgrad.types import Queries, Ranking, Retriever


class Router(nn.Module):
    """Send each query to one of several retrievers over the same collection.

    Queries that go to the same retriever go together. Scores are those of the retriever that was chosen, so they do not
    compare between queries.

    Args:
        rule: gives the name of a retriever for a query text.
        retrievers: by name.

    Raises:
        InputError: without a retriever.

    Example:
        >>> from rankgrad.retrieve import BM25, TFIDF
        >>> documents = ["cat", "a cat and a dog"]
        >>> retrievers = {"short": BM25(documents), "long": TFIDF(documents)}
        >>> router = Router(lambda query: "short" if len(query) < 10 else "long", retrievers)
        >>> router(["dog", "a dog with a cat"], k=1).ids.tolist()
        [[1], [1]]
    """

    def __init__(self, rule: Callable[[str], str], retrievers: Mapping[str, Retriever]) -> None:
        super().__init__()
        if not retrievers:
            raise InputError("no retriever given: pass at least one")
        self.rule = rule
        self.names = tuple(retrievers)
        self.routes = tuple(retrievers.values())
        # The modules among them, so that parameters, buffers, devices and modes reach them.
        self.stages = nn.ModuleList(route for route in self.routes if isinstance(route, nn.Module))

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank each query by its retriever.

        Raises:
            InputError: for an empty query, a name that no retriever has, or what a retriever refuses.
        """
        check_texts(queries, "query")
        chosen = [self._route(query) for query in queries]
        places, parts = [], []
        for route in sorted(set(chosen)):
            rows = [row for row, one in enumerate(chosen) if one == route]
            places += rows
            parts.append(self.routes[route]([queries[row] for row in rows], k))
        device = parts[0].ids.device
        order = torch.tensor(places, device=device).argsort()
        joined = (torch.cat([field.to(device) for field in fields]) for fields in zip(*parts, strict=True))
        return Ranking(*(field[order] for field in joined))

    def _route(self, query: str) -> int:
        name = self.rule(query)
        if name not in self.names:
            raise InputError(f"rule: gave {name!r} for {query!r}, expected one of {', '.join(self.names)}")
        return self.names.index(name)
