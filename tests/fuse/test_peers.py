"""The same scores as ranx, for every method that both have."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rankgrad.fuse import BordaFusion, InverseSquareRankFusion, RankBiasedCentroids, ReciprocalRankFusion, ScoreFusion
from rankgrad.types import Ranking

from .fusion_lists import drawn

ranx = pytest.importorskip("ranx", reason="ranx is not installed: pip install ranx")

WEIGHTS = (0.2, 0.3, 0.5)
CASES: dict[str, tuple[torch.nn.Module, str | None, dict[str, Any] | None]] = {
    "rrf": (ReciprocalRankFusion(k=10), None, {"k": 10}),
    "isr": (InverseSquareRankFusion(), None, None),
    "log_isr": (InverseSquareRankFusion(variant="log_isr"), None, None),
    "logn_isr": (InverseSquareRankFusion(variant="log_n_isr"), None, None),
    "rbc": (RankBiasedCentroids(persistence=0.8), None, {"phi": 0.8}),
    "bordafuse": (BordaFusion(), None, None),
    "sum": (ScoreFusion(), "min-max", None),
    "mnz": (ScoreFusion(combine="mnz", normalisation="sum"), "sum", None),
    "anz": (ScoreFusion(combine="anz", normalisation="z_score"), "zmuv", None),
    "max": (ScoreFusion(combine="max", normalisation="rank"), "rank", None),
    "min": (ScoreFusion(combine="min"), "min-max", None),
    "med": (ScoreFusion(combine="med"), "min-max", None),
    "wsum": (ScoreFusion(weights=WEIGHTS), "min-max", {"weights": WEIGHTS}),
}


def as_run(ranking: Ranking) -> Any:
    rows = zip(ranking.ids.tolist(), ranking.scores.tolist(), ranking.mask.sum(dim=1).tolist(), strict=True)
    return ranx.Run(
        {
            str(query): {str(name): score for name, score in zip(ids[:count], scores[:count], strict=True)}
            for query, (ids, scores, count) in enumerate(rows)
        }
    )


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_ranx(name: str) -> None:
    fusion, norm, params = CASES[name]
    rankings = drawn(5, 3, 8, 12, seed=7)
    theirs = ranx.fuse([as_run(one) for one in rankings], norm=norm, method=name, params=params)
    fused = fusion(rankings)
    for query in range(5):
        real = fused.mask[query]
        ours = dict(zip(map(str, fused.ids[query][real].tolist()), fused.scores[query][real].tolist(), strict=True))
        assert ours == pytest.approx(dict(theirs.run[str(query)]), abs=1e-12)
