"""Who fuses ranked lists: every method of ours, and ranx where it computes the same.

Lists are made, and what ranx compiles is compiled, before. Its Condorcet sorts by a comparison of two, which gives
other scores than wins do, so ours stands alone there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import nn

from rankgrad.fuse import (
    BordaFusion,
    CondorcetFusion,
    CopelandFusion,
    DistributionFusion,
    InverseSquareRankFusion,
    MedianRankFusion,
    RankBiasedCentroids,
    ReciprocalRankFusion,
    ScoreFusion,
    StandardisedFusion,
)
from rankgrad.types import Ranking

_WEIGHTS = (0.1, 0.2, 0.3, 0.3, 0.1)


class Method(NamedTuple):
    """Ours; ranx's name, normalisation and parameters, or None; quadratic in the documents: lists are a tenth."""

    name: str
    ours: nn.Module
    ranx: str | None = None
    norm: str | None = None
    parameters: dict[str, Any] | None = None
    quadratic: bool = False


METHODS = (
    Method("reciprocal rank", ReciprocalRankFusion(), "rrf"),
    Method("inverse square rank", InverseSquareRankFusion(), "isr"),
    Method("log inverse square rank", InverseSquareRankFusion(variant="log_isr"), "log_isr"),
    Method("rank-biased centroids", RankBiasedCentroids(persistence=0.8), "rbc", None, {"phi": 0.8}),
    Method("Borda", BordaFusion(), "bordafuse", quadratic=True),
    Method("median rank", MedianRankFusion()),
    Method("Condorcet", CondorcetFusion(), quadratic=True),
    Method("Copeland", CopelandFusion(), quadratic=True),
    Method("CombSUM", ScoreFusion(), "sum", "min-max"),
    Method("CombMNZ", ScoreFusion(combine="mnz"), "mnz", "min-max"),
    Method("CombANZ", ScoreFusion(combine="anz"), "anz", "min-max"),
    Method("CombMAX", ScoreFusion(combine="max"), "max", "min-max"),
    Method("CombMIN", ScoreFusion(combine="min"), "min", "min-max"),
    Method("CombMED", ScoreFusion(combine="med"), "med", "min-max"),
    Method("weighted sum", ScoreFusion(weights=_WEIGHTS), "wsum", "min-max", {"weights": _WEIGHTS}),
    Method("z-score sum", ScoreFusion(normalisation="z_score"), "sum", "zmuv"),
    Method("DBSF", DistributionFusion()),
    Method("standardised", StandardisedFusion()),
)


def drawn(queries: int, lists: int, documents: int, pool: int) -> list[Ranking]:
    """Lists of ``documents`` out of ``pool`` times as many, so that they overlap by about a third."""
    generator = torch.Generator().manual_seed(0)
    real = torch.ones(queries, documents, dtype=torch.bool)
    found = []
    for place in range(lists):
        ids = torch.rand(queries, pool * documents, generator=generator).argsort(dim=1)[:, :documents]
        scores = torch.randn(queries, documents, generator=generator).sort(dim=1, descending=True).values
        found.append(Ranking(ids, scores * (place + 1) + 5, real))
    return found


def ranx_installed() -> bool:
    """Is ranx there? A line says so where it is not."""
    if find_spec("ranx") is not None:
        return True
    print("skipped: ranx (not installed: pip install ranx)", flush=True)
    return False


def ranx_runs(rankings: list[Ranking], *, first: int = 0) -> list[Any]:
    """The lists as ranx holds them, from a query on."""
    import ranx  # pyright: ignore[reportMissingImports]

    return [
        ranx.Run(
            {
                str(query): dict(zip(map(str, ids), scores, strict=True))
                for query, (ids, scores) in enumerate(
                    zip(one.ids[first:].tolist(), one.scores[first:].tolist(), strict=True), start=first
                )
            }
        )
        for one in rankings
    ]


def ranx_call(method: Method, runs: list[Any]) -> Callable[[], Any]:
    """A call that fuses."""
    import ranx  # pyright: ignore[reportMissingImports]

    return lambda: ranx.fuse(runs, norm=method.norm, method=method.ranx, params=method.parameters)
