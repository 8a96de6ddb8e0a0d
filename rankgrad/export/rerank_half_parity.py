"""Does the graph of a pipeline's rerank half give the pipeline's own ranking?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import require
from rankgrad.export.parity import require_agreement
from rankgrad.export.probe import probe_lists
from rankgrad.export.reference import exportable
from rankgrad.fuse import Aligned, align
from rankgrad.models import CrossEncoder
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.types import Ranking, Reranker, Retriever

_QUERIES, _BEYOND = 3, 5
_MOST_DOCUMENTS = 32
_NEAR = 1e-6
_DRAWS = 100


def check_half(
    pipeline: Pipeline,
    stage: CrossEncoderReranker,
    path: Path,
    inputs: Sequence[str],
    *,
    limit: int,
    tolerance: float,
) -> float:
    """Compare a graph with the pipeline on random rankings of the pipeline's own documents: the largest difference.

    Args:
        pipeline: what was exported.
        stage: its reranker.
        path: the graph.
        inputs: their names.
        limit: documents that get to the reranker.
        tolerance: largest difference allowed, relative to the score (but at least 1).

    Raises:
        ParityError: when the graph disagrees.
    """
    queries = [query for query, _ in probe_lists()[:_QUERIES]]
    rankings = _rankings(pipeline, stage, min(stage.k, limit) + _BEYOND)
    aligned = align(rankings)
    expected = _pipeline_scores(pipeline, queries, rankings, aligned)
    feeds = _feeds(cast(CrossEncoder, stage.scorer), stage.documents, queries, aligned)
    session = require("onnxruntime", "onnx").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {name: feeds[name] for name in inputs})[0]
    both = np.isfinite(expected)
    difference = float("inf")
    if np.array_equal(both, np.isfinite(got)):
        one, other = expected[both], got[both]
        difference = float((np.abs(one - other) / np.maximum(np.abs(one), 1.0)).max(initial=0.0))
    where = f"on rankings of {expected.shape[1]} of its documents:"
    require_agreement(difference, tolerance, f"the exported graph disagrees with the pipeline {where}")
    return difference


def settled(fused: Tensor) -> bool:
    """Do documents fuse to equal scores, or to ones that no rounding puts in another order?"""
    ordered = fused.masked_fill(fused.isinf(), -torch.inf).sort(dim=1, descending=True).values
    gaps = ordered[:, :-1] - ordered[:, 1:]
    bound = _NEAR * fused.masked_fill(fused.isinf(), 0.0).abs().max()
    return not bool(((gaps > 0) & (gaps < bound)).any())


def _rankings(pipeline: Pipeline, stage: CrossEncoderReranker, wanted: int) -> list[Ranking]:
    """Random rankings, the last query's shorter ones; more documents in all than the cross-encoder reads, if it can."""
    documents = len(stage.documents)
    width = min(wanted, pipeline.k, documents, _MOST_DOCUMENTS)
    generator = torch.Generator().manual_seed(0)
    found: list[Ranking] = []
    for _ in range(_DRAWS):
        found = []
        for _ in pipeline.retrievers:
            ids = torch.rand(_QUERIES, documents, generator=generator).argsort(dim=1)[:, :width]
            scores = torch.randn(_QUERIES, width, generator=generator).sort(dim=1, descending=True).values
            mask = torch.ones_like(ids, dtype=torch.bool)
            mask[-1, (width + 1) // 2 :] = False
            found.append(Ranking(ids.masked_fill(~mask, -1), scores.masked_fill(~mask, -torch.inf), mask))
        with torch.no_grad():
            if settled(found[0].scores if pipeline.fuse is None else pipeline.fuse(found).scores):
                break
    return found


@torch.inference_mode()
def _pipeline_scores(
    pipeline: Pipeline, queries: Sequence[str], rankings: Sequence[Ranking], aligned: Aligned
) -> np.ndarray:
    """The scores of the pipeline's ranking beside the aligned documents; ``-inf`` for those it has not."""
    fuse = None if pipeline.fuse is None else exportable(pipeline.fuse)
    later = [cast(Reranker, exportable(stage)) for stage in pipeline.rerank]
    whole = Pipeline([_always(ranking) for ranking in rankings], fuse=fuse, rerank=later, k=pipeline.k)
    ranking = whole(queries)
    scores = np.full(aligned.ids.shape, -np.inf, dtype=np.float32)
    for query, (ids, values, mask) in enumerate(zip(*ranking, strict=True)):
        places = torch.searchsorted(aligned.ids[query][aligned.mask[query]], ids[mask])
        scores[query, places.numpy()] = values[mask].numpy()
    return scores


def _always(ranking: Ranking) -> Retriever:
    """A first stage that has one answer."""
    answer: Callable[..., Ranking] = lambda queries, k: ranking  # noqa: E731
    return answer


def _feeds(
    scorer: CrossEncoder, documents: Sequence[str], queries: Sequence[str], aligned: Aligned
) -> dict[str, np.ndarray]:
    """Every input that such a graph may have."""
    owners, places = (each.numpy() for each in aligned.mask.nonzero(as_tuple=True))
    rows = aligned.ids.numpy()[owners, places]
    tokens = scorer.tokenizer([queries[int(owner)] for owner in owners], [documents[int(row)] for row in rows])
    feeds = {}
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        values = getattr(tokens, name)
        feeds[name] = np.zeros((*aligned.ids.shape, values.shape[1]), dtype=np.int64)
        feeds[name][owners, places] = values
    said = {"ranks": aligned.ranks, "scores": aligned.scores, "present": aligned.present}
    return feeds | {name: value.numpy() for name, value in said.items()}
