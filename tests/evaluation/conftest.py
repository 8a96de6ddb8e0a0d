"""A small task and systems that answer it from a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from rankgrad.data import Task, Texts
from rankgrad.types import Queries, Ranking

QUERIES = 8


@pytest.fixture
def task() -> Task:
    """Eight queries; document ``d{i}`` answers query ``q{i}`` best, ``d{i + 1}`` a little."""
    documents = Texts(tuple(f"d{i}" for i in range(QUERIES + 1)), tuple(f"text {i}" for i in range(QUERIES + 1)))
    queries = Texts(tuple(f"q{i}" for i in range(QUERIES)), tuple(str(i) for i in range(QUERIES)))
    return Task("toy/test", documents, queries, {f"q{i}": {f"d{i}": 2, f"d{i + 1}": 1} for i in range(QUERIES)})


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, which takes most of the time of writing a report."""
    monkeypatch.setattr("rankgrad.evaluation.pictures._png", lambda figure: b"\x89PNG")


@pytest.fixture
def answer() -> Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]:
    """From "query number to document rows" to a system."""

    def system(rows_of: Callable[[int], list[int]]) -> Callable[[Queries], Ranking]:
        def rank(queries: Queries) -> Ranking:
            rows = [rows_of(int(query)) for query in queries]
            width = max(map(len, rows))
            ids = torch.tensor([row + [-1] * (width - len(row)) for row in rows])
            scores = torch.arange(width, 0, -1.0).expand(ids.shape).masked_fill(ids < 0, -torch.inf)
            return Ranking(ids, scores, ids >= 0)

        return rank

    return system
