"""Rankings to fuse."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rankgrad.types import Ranking

Entry = tuple[int, float]


def ranking_of(*rows: Sequence[Entry], width: int | None = None) -> Ranking:
    """One row a query of (id, score), padded."""
    width = max(map(len, rows)) if width is None else width
    ids, scores = torch.full((len(rows), width), -1), torch.full((len(rows), width), -torch.inf, dtype=torch.float64)
    for query, row in enumerate(rows):
        for place, (name, score) in enumerate(row):
            ids[query, place], scores[query, place] = name, score
    return Ranking(ids, scores, ids >= 0)


def drawn(queries: int, lists: int, width: int, documents: int, *, seed: int = 0) -> list[Ranking]:
    """Lists of different lengths over one collection, double precision."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for place in range(lists):
        ids = torch.rand(queries, documents, generator=generator).argsort(dim=1)[:, :width]
        scores = torch.randn(queries, width, generator=generator, dtype=torch.float64).sort(dim=1, descending=True)
        lengths = torch.randint(2, width + 1, (queries, 1), generator=generator)
        mask = torch.arange(width) < lengths
        values = scores.values * (place + 1) + 3
        found.append(Ranking(ids.masked_fill(~mask, -1), values.masked_fill(~mask, -torch.inf), mask))
    return found
