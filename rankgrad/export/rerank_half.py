"""What a pipeline does behind its first stages as one ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.export.fusion import ByRanks, ByScores
from rankgrad.export.graph_files import atomic_graph
from rankgrad.export.module import export_module
from rankgrad.export.reference import eager_attention, exportable
from rankgrad.export.rerank_half_graph import FromRanks, FromScores, OneList, RerankTokens
from rankgrad.export.rerank_half_parity import check_half, settled
from rankgrad.export.trace import OPSET, Axes, Declared
from rankgrad.fuse import LearnedFusion, RankBiasedCentroids, ReciprocalRankFusion, ScoreFusion
from rankgrad.models import CrossEncoder
from rankgrad.pipeline import Cut, Pipeline
from rankgrad.rerank import CrossEncoderReranker

_TOKENS = ("input_ids", "attention_mask", "token_type_ids")
# A draw in which two documents fuse to nearly the same score says nothing of the graph.
_DRAWS = 100


def export_rerank_half(
    pipeline: Pipeline, path: str | Path, *, tolerance: float = 1e-5, opset: int = OPSET
) -> Declared:
    """Write fusion, cut-offs and cross-encoder of a pipeline as one ONNX file.

    In go the pairs' tokens ``input_ids``, ``attention_mask`` and ``token_type_ids``, int64 ``[queries, documents,
    tokens]``, and what each first stage says of each document: ``ranks [queries, lists, documents]`` float32, 1 = the
    first of a list, 0 = not in it; for a fusion that reads scores, and for a single first stage without a fusion,
    ``scores`` so and ``present``, bool. :func:`rankgrad.fuse.align` puts lists beside each other, its documents in the
    order of their ids. Out comes ``final [queries, documents]``, the scores of the pipeline's ranking: the
    cross-encoder's (and ``first_stage_weight`` times the fused score) for the first k of the fused order, which alone
    are read; steps below them for the rest; ``-inf`` for what is beyond the pipeline's ``k``, and for places without a
    document, which no list holds.

    Args:
        pipeline: its ``fuse`` is a :class:`rankgrad.fuse.LearnedFusion`, :class:`rankgrad.fuse.ReciprocalRankFusion`,
            :class:`rankgrad.fuse.RankBiasedCentroids` or :class:`rankgrad.fuse.ScoreFusion` (of sum, mnz or anz), or
            None with one first stage; its ``rerank`` ends in a :class:`rankgrad.rerank.CrossEncoderReranker` of a
            :class:`rankgrad.models.CrossEncoder` and has nothing but :class:`rankgrad.pipeline.Cut` before it. It is
            left as it was.
        path: the file to write; it is written only where the graph agrees with torch, on random tokens of six sizes and
            on documents of the pipeline as the pipeline itself puts them in order.
        tolerance: largest difference allowed, relative to the largest score (but at least 1).
        opset: version of the ONNX operators.

    Raises:
        InputError: for a pipeline with a stage that has no such graph.
        ParityError: when the graph disagrees with torch.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    stage, scorer, limit = _stages(pipeline)
    lists = len(pipeline.retrievers)
    fused = _fused(pipeline)
    by_ranks = isinstance(fused, ByRanks)
    rerank = RerankTokens(exportable(scorer), k=min(stage.k, limit), limit=limit, weight=stage.first_stage_weight)
    graph = FromRanks(fused, rerank) if by_ranks else FromScores(fused, rerank)
    vocabulary = rerank.scorer.text_tokenizer.backend_tokenizer.get_vocab_size()

    def make(wanted: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        queries, documents, tokens = (wanted[name] for name in ("queries", "documents", "tokens"))
        lengths = torch.randint(1, tokens + 1, (queries, documents, 1), generator=generator)
        real = torch.arange(tokens) < lengths
        ids = torch.randint(vocabulary, (queries, documents, tokens), generator=generator)
        second = real & (torch.arange(tokens) > lengths // 3)
        made = dict(zip(_TOKENS, (ids * real, real.long(), second.long()), strict=True))
        for _ in range(_DRAWS):
            said = _random_lists((queries, lists, documents), generator, by_ranks=by_ranks)
            with torch.no_grad():
                if settled(fused(*said.values())):
                    break
        return made | said

    example = make({"queries": 2, "documents": 5, "tokens": 8}, torch.Generator().manual_seed(0))
    axes: dict[str, Axes] = dict.fromkeys(_TOKENS, ("queries", "documents", "tokens"))
    axes |= {name: ("queries", lists, "documents") for name in example if name not in _TOKENS}
    axes["final"] = ("queries", "documents")
    with atomic_graph(path) as temporary, eager_attention(rerank.scorer):
        declared = export_module(
            graph,
            example,
            temporary,
            axes=axes,
            make_inputs=make,
            smallest={"tokens": 4},
            tolerance=tolerance,
            opset=opset,
        )
        check_half(pipeline, stage, temporary, declared.inputs, limit=limit, tolerance=tolerance)
    return declared


def _stages(pipeline: Pipeline) -> tuple[CrossEncoderReranker, CrossEncoder, int]:
    """The reranker, its model, and how many documents get there."""
    *before, last = list(pipeline.rerank) or [None]
    limit = pipeline.k
    for stage in before:
        if not isinstance(stage, Cut):
            raise InputError(
                f"pipeline: its rerank has a {type(stage).__name__} before the last stage, which has no graph here: "
                "keep one CrossEncoderReranker, with cuts before it"
            )
        limit = min(limit, stage.k)
    if not isinstance(last, CrossEncoderReranker) or not isinstance(last.scorer, CrossEncoder):
        what = "nothing" if last is None else type(last).__name__
        if isinstance(last, CrossEncoderReranker):
            what = f"a CrossEncoderReranker of a {type(last.scorer).__name__}"
        raise InputError(
            f"pipeline: its rerank ends in {what}, which has no graph here: end it in a CrossEncoderReranker of a "
            "rankgrad.models.CrossEncoder"
        )
    if last.scorer.options.packed_only:
        raise InputError(
            "pipeline: its cross-encoder is listwise or compressing, and has no graph of single pairs: take one "
            "without listwise and compress_layer"
        )
    return last, last.scorer, limit


def _fused(pipeline: Pipeline) -> nn.Module:
    """From what the lists say to fused scores, ``-inf`` for a document of no list."""
    fuse = pipeline.fuse
    if fuse is None:
        return ByScores(OneList())
    if isinstance(fuse, LearnedFusion):
        fusion = exportable(fuse)
        return ByRanks(fusion) if fuse.log_temperatures is None else ByScores(fusion)
    if not isinstance(fuse, ReciprocalRankFusion | RankBiasedCentroids | ScoreFusion):
        raise InputError(
            f"pipeline: its fuse is a {type(fuse).__name__}, which has no graph here: take a LearnedFusion, "
            "ReciprocalRankFusion, RankBiasedCentroids or ScoreFusion"
        )
    if fuse.ranker is not None:
        raise InputError("pipeline: its fuse takes ranks from the scores by a ranker, which has no graph: leave it out")
    if isinstance(fuse, ScoreFusion) and fuse.combine in ("max", "min", "med"):
        raise InputError(
            f"pipeline: its ScoreFusion combines by {fuse.combine!r}, which has no graph: take sum, mnz or anz"
        )
    by_ranks = not isinstance(fuse, ScoreFusion) or fuse.normalisation in ("rank", "quantile")
    return ByRanks(exportable(fuse)) if by_ranks else ByScores(exportable(fuse))


def _random_lists(shape: tuple[int, int, int], generator: torch.Generator, *, by_ranks: bool) -> dict[str, Tensor]:
    """What lists say of documents, in which each is seven times in ten."""
    present = torch.rand(shape, generator=generator) < 0.7
    scores = torch.randn(shape, generator=generator).masked_fill(~present, 0.0)
    if not by_ranks:
        return {"scores": scores, "present": present}
    order = scores.masked_fill(~present, -torch.inf).argsort(-1, descending=True).argsort(-1)
    return {"ranks": ((order + 1) * present).float()}
