"""The two stages: late interaction of projected states, over one vector a text and over all of its tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.cascade_data import Cached, pooled
from rankgrad.ops import maxsim
from rankgrad.pipeline import Cascade
from rankgrad.rerank._gather import gather_padded
from rankgrad.retrieve._top import descending
from rankgrad.types import PackedTokens, Ranking

_CHEAP, _DEAR = 32, 96


class CachedStage(nn.Module):
    """``scale * mean_q max_d cosine(W q, W d) + weight * BM25 / 10``, with W, scale and weight learned.

    Evaluated, documents come projected from an index.

    Args:
        queries: states of all queries; what stands in their place in a call are row numbers.
        documents: states of all documents.
        dim: of the projection.
    """

    def __init__(self, queries: PackedTokens, documents: PackedTokens, *, dim: int) -> None:
        super().__init__()
        self.queries, self.documents = queries, documents
        self.project = nn.Linear(queries.embeddings.shape[1], dim, bias=False)
        nn.init.orthogonal_(self.project.weight)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.index: PackedTokens | None = None

    def forward(self, queries: Tensor, ranking: Ranking) -> Ranking:
        """Score all of a ranking, whose scores are BM25's."""
        asked, query_mask = gather_padded(self.queries, queries)
        rows = ranking.ids.where(ranking.mask, 0)
        if self.training:
            self.index = None
            found, document_mask = gather_padded(self.documents, rows)
            found = self._embed(found)
        else:
            if self.index is None:
                self.index = self.documents._replace(embeddings=self._embed(self.documents.embeddings))
            found, document_mask = gather_padded(self.index, rows)
        similar = maxsim(self._embed(asked), found, query_mask, document_mask, layout="candidates", reduction="mean")
        bm25 = ranking.scores.masked_fill(~ranking.mask, 0.0) / 10
        return descending(ranking.ids, self.log_scale.exp() * similar + self.weight * bm25, ranking.mask)

    def _embed(self, states: Tensor) -> Tensor:
        return normalize(self.project(states.float()), dim=-1)


def two_stages(data: Cached, *, cutoff: float, costs: tuple[float, float], learn_cutoffs: bool, seed: int) -> Cascade:
    """A cheap and a dear stage, the same weights for the same seed."""
    torch.manual_seed(seed)
    cheap = CachedStage(pooled(data.queries), pooled(data.documents), dim=_CHEAP)
    dear = CachedStage(data.queries, data.documents, dim=_DEAR)
    return Cascade([cheap, dear], cutoffs=[cutoff], costs=costs, temperature=0.2, learn_cutoffs=learn_cutoffs)
