"""Three short lists, and what a fused ranking holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rankgrad.types import Ranking

from .fusion_lists import ranking_of


@pytest.fixture
def three() -> list[Ranking]:
    """One query: 1 2 3, then 2 3 4, then 3 1."""
    return [
        ranking_of([(1, 9.0), (2, 6.0), (3, 5.0)]),
        ranking_of([(2, 0.5), (3, 0.4), (4, 0.1)]),
        ranking_of([(3, 2.0), (1, 1.0)]),
    ]


@pytest.fixture
def as_dict() -> Callable[..., dict[int, float]]:
    """A query's fused documents and scores, in their order."""

    def convert(ranking: Ranking, query: int = 0) -> dict[int, float]:
        mask = ranking.mask[query]
        return dict(zip(ranking.ids[query][mask].tolist(), ranking.scores[query][mask].tolist(), strict=True))

    return convert
