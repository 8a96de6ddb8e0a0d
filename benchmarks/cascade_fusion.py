"""Learned fusion beside RRF, CombSUM and a grid: three rankings of the same candidates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.cascade_data import Cached, Split, pooled
from benchmarks.show import OURS
from rankgrad.fuse import LearnedFusion, ReciprocalRankFusion, ScoreFusion
from rankgrad.metrics import ndcg
from rankgrad.ops import maxsim
from rankgrad.pipeline._aligned import scores_of
from rankgrad.rerank._gather import gather_padded
from rankgrad.retrieve._top import descending
from rankgrad.types import PackedTokens, Ranking

LISTS = ("BM25", "MiniLM, one vector", "MiniLM, all tokens")
METHODS = ("reciprocal_rank", "score_sum")
RRF, COMB_SUM = "RRF, k 60", "CombSUM, min-max"


def fused(data: Cached, *, seeds: Sequence[int], steps: int) -> dict[str, Tensor]:
    """nDCG@10 on the test by provider, ``[seeds, queries]``; one row where nothing is learned.

    A seed draws half of the training queries, which also choose: a handful of parameters does not learn them by heart.
    """
    rankings = {name: _rankings(data, split) for name, split in _splits(data).items()}
    test = data.test
    found = {name: quality(one, test).unsqueeze(0) for name, one in zip(LISTS, rankings["test"], strict=True)}
    fixed: dict[str, nn.Module] = {RRF: ReciprocalRankFusion(), COMB_SUM: ScoreFusion()}
    found |= {name: quality(fusion(rankings["test"]), test).unsqueeze(0) for name, fusion in fixed.items()}
    for method in METHODS:
        for name, taken in ((f"grid search, {method}", 0), (f"{OURS}: learned, {method}", steps)):
            found[name] = torch.stack(
                [_learned(data, rankings, seed=seed, steps=taken, method=method) for seed in seeds]
            )
    return found


def quality(ranking: Ranking, split: Split) -> Tensor:
    """nDCG@10 of each query."""
    candidates = split.ranking
    scores = scores_of(ranking, candidates.ids).detach().masked_fill(~candidates.mask, 0.0)
    return ndcg(scores.float(), split.labels, candidates.mask, k=10, judged=split.judged)


def _learned(data: Cached, rankings: dict[str, list[Ranking]], *, seed: int, steps: int, method: str) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    useful = (data.training.labels > 0).any(dim=1).nonzero().flatten()
    chosen = useful[torch.randperm(len(useful), generator=generator)[: max(len(useful) // 2, 1)]]
    training = [Ranking(*(field[chosen] for field in one)) for one in rankings["training"]]
    fusion = LearnedFusion(len(LISTS), method="score_sum" if method == "score_sum" else "reciprocal_rank")
    fusion.fit(training, data.training.part(chosen).judgements, steps=steps)
    with torch.no_grad():
        return quality(fusion(rankings["test"]), data.test)


def _splits(data: Cached) -> dict[str, Split]:
    return {"training": data.training, "test": data.test}


@torch.no_grad()
def _rankings(data: Cached, split: Split) -> list[Ranking]:
    vectors = _similar(pooled(data.queries), pooled(data.documents), split)
    return [split.ranking, vectors, _similar(data.queries, data.documents, split)]


def _similar(queries: PackedTokens, documents: PackedTokens, split: Split) -> Ranking:
    """The candidates by MaxSim of the frozen states, some queries at a time."""
    parts = []
    for rows in torch.arange(len(split.rows)).split(16):
        asked, query_mask = gather_padded(queries, split.rows[rows])
        ids, mask = split.ranking.ids[rows], split.ranking.mask[rows]
        found, document_mask = gather_padded(documents, ids.where(mask, 0))
        scores = maxsim(asked.float(), found.float(), query_mask, document_mask, layout="candidates", reduction="mean")
        parts.append(descending(ids, scores, mask))
    return Ranking(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
