"""Fusion, cut-offs and cross-encoder of a pipeline as one graph: what the pipeline gives, or no file."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.export import ParityError, export_rerank_half, rerank_half
from rankgrad.export.rerank_half_parity import check_half
from rankgrad.export.trace import Declared
from rankgrad.fuse import Aligned, BordaFusion, LearnedFusion, ReciprocalRankFusion, ScoreFusion, align
from rankgrad.models import CrossEncoder
from rankgrad.pipeline import Cut, Pipeline
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.retrieve import BM25

from .conftest import one_layer

DOCUMENTS = (
    "return the number of items in a list",
    "open a file and read its lines",
    "sort the values of a dictionary by key",
    "raise an error when the index is out of range",
    "join several strings with a separator",
    "parse a date from text and return a time",
    "read a list of lines and sort",
    "sort a list of strings",
)
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
QUERIES = ["sort a list", "read a file and return lines"]


@pytest.fixture(scope="module")
def scorer(tiny_encoder_folder: Path) -> CrossEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return one_layer(CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", max_length=48, query_length=16))


@pytest.fixture(scope="module")
def pipeline(scorer: CrossEncoder) -> Callable[..., Pipeline]:
    """Two first stages, a fusion, a cut, a cross-encoder that reads three documents."""

    def make(fuse: Any, *, lists: int = 2, k: int = 3, weight: float = 0.5) -> Pipeline:
        first = [BM25(DOCUMENTS, k1=3.0, b=0.0), BM25(DOCUMENTS, k1=0.2, b=1.0)][:lists]
        reranker = CrossEncoderReranker(scorer, DOCUMENTS, k=k, first_stage_weight=weight)
        return Pipeline(first, fuse=fuse, rerank=[Cut(5), reranker], k=6).eval()

    return make


@pytest.mark.parametrize(
    ("fuse", "lists", "said", "traced"),
    [
        (LearnedFusion(2, weights=(3, 1), k=10.0), 2, ("ranks",), False),
        (ScoreFusion(normalisation="z_score", weights=(0.7, 0.3)), 2, ("scores", "present"), True),
        (None, 1, ("scores", "present"), False),
    ],
    ids=["ranks", "scores", "one first stage"],
)
def test_the_graph_gives_the_scores_of_the_pipelines_ranking(
    pipeline: Callable[..., Pipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fuse: Any,
    lists: int,
    said: tuple[str, ...],
    traced: bool,
) -> None:
    whole, path = pipeline(fuse, lists=lists), tmp_path / "half.onnx"
    rankings = [first(QUERIES, 6) for first in whole.retrievers]
    aligned = align(rankings)
    with torch.no_grad():
        expected = whole(QUERIES)
    if not traced:
        # The module that would be traced, run by torch: tracing the cross-encoder again takes seconds.
        made: list[Any] = []
        monkeypatch.setattr(rerank_half, "export_module", lambda module, _, path, **__: _keep(made, module, path, said))
        monkeypatch.setattr(rerank_half, "check_half", lambda *_, **__: 0.0)
    declared = export_rerank_half(whole, path)
    assert declared.inputs == (*TOKENS, *said)
    assert [each.name for each in tmp_path.iterdir()] == ["half.onnx"]
    feeds = tokens_of(whole, aligned) | {name: getattr(aligned, name).numpy() for name in said}
    if traced:
        session = onnxruntime.InferenceSession(str(path))
        assert session.get_inputs()[0].shape == ["queries", "documents", "tokens"]
        got = torch.from_numpy(session.run(None, feeds)[0])
    else:
        with torch.no_grad():
            got = made[0].eval()(**{name: torch.from_numpy(value) for name, value in feeds.items()})
    for query, (ids, scores, mask) in enumerate(zip(*expected, strict=True)):
        order = got[query].argsort(descending=True)[: int(mask.sum())]
        assert aligned.ids[query][order].tolist() == ids[mask].tolist()
        torch.testing.assert_close(got[query][order], scores[mask], rtol=1e-5, atol=1e-5)
        assert int(got[query].isfinite().sum()) == int(mask.sum()) <= 5
    if traced:
        # The same file is no graph of a pipeline that cuts or weighs otherwise.
        for other in (pipeline(fuse, lists=lists, k=4), pipeline(fuse, lists=lists, weight=0.0)):
            with pytest.raises(ParityError, match="disagrees with the pipeline on rankings of"):
                check_half(other, other.rerank[-1], path, declared.inputs, limit=5, tolerance=1e-5)  # type: ignore[arg-type]


def _keep(made: list[Any], module: Any, path: Path, said: tuple[str, ...]) -> Declared:
    made.append(module)
    path.write_bytes(b"")
    return Declared((*TOKENS, *said), "final", 20)


def tokens_of(pipeline: Pipeline, aligned: Aligned) -> dict[str, np.ndarray]:
    """Each pair's tokens, one pair after another."""
    stage: Any = pipeline.rerank[-1]
    feeds = {name: np.zeros((*aligned.ids.shape, 24), dtype=np.int64) for name in TOKENS}
    for query, ids in enumerate(aligned.ids.tolist()):
        for place, row in enumerate(ids):
            if row >= 0:
                tokens = stage.scorer.tokenizer([QUERIES[query]], [DOCUMENTS[row]])
                for name in TOKENS:
                    feeds[name][query, place, : tokens.input_ids.shape[1]] = getattr(tokens, name)[0]
    return feeds


def test_stages_without_a_graph_are_refused(pipeline: Callable[..., Pipeline], tmp_path: Path) -> None:
    whole = pipeline(ReciprocalRankFusion())
    stage: Any = whole.rerank[-1]
    listwise = copy.copy(stage)
    listwise.scorer = copy.deepcopy(stage.scorer)
    listwise.scorer.options = replace(listwise.scorer.options, listwise=True)
    borrowed = CrossEncoderReranker(len, DOCUMENTS)  # type: ignore[arg-type]
    first = list(whole.retrievers)
    for wrong, message in (
        (pipeline(BordaFusion()), "its fuse is a BordaFusion, which has no graph here"),
        (pipeline(ReciprocalRankFusion(ranker=torch.sort)), "by a ranker, which has no graph"),  # type: ignore[arg-type]
        (pipeline(ScoreFusion(combine="max")), "combines by 'max', which has no graph"),
        (Pipeline(first[0]), "its rerank ends in nothing"),
        (whole[:3], "its rerank has a CrossEncoderReranker before the last stage"),
        (Pipeline(first[0], rerank=[borrowed]), "ends in a CrossEncoderReranker of a builtin_function_or_method"),
        (Pipeline(first[0], rerank=[listwise]), "is listwise or compressing"),
    ):
        with pytest.raises(InputError, match=message):
            export_rerank_half(wrong, tmp_path / "half.onnx")
    assert list(tmp_path.iterdir()) == []
