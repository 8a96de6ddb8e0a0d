"""Weights of query tokens in what is exported: the bundle, the one graph, a compiled ranker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad.export import compile_ranker, export_bundle
from rankgrad.export.package_kinds import described, forward_of, opened_package, runner
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules

QUERY = "sort the values of a file"
DOCUMENTS = ["sort the values", "open a file and read its lines", "join strings with a separator"]


@pytest.fixture(scope="module")
def model(tiny_encoder_folder: Path) -> ColBERT:
    rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=40)
    torch.manual_seed(0)
    made = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16, query_weights="learned")
    return made.fit_idf(DOCUMENTS).eval()


@pytest.fixture(scope="module")
def wanted(model: ColBERT) -> np.ndarray:
    with torch.inference_mode():
        scores = model.score([QUERY], model.encode_documents(DOCUMENTS))[0].numpy()
        assert model.query_weights is not None
        plain = ColBERT(model.backbone, model.text_tokenizer, rules=model.rules, head=list(model.projection.layers))
        apart = plain.eval().score([QUERY], model.encode_documents(DOCUMENTS))[0].numpy()
    # So that a reader that leaves the weights out is seen.
    assert np.abs(scores - apart).min() > 0.5
    return scores


@pytest.mark.parametrize("one_graph", [False, True])
def test_a_bundle_weighs(model: ColBERT, wanted: np.ndarray, tmp_path: Path, one_graph: bool) -> None:
    export_bundle(model, tmp_path / "bundle", variants=(), one_graph=one_graph)
    opened = deploy.load(tmp_path / "bundle", threads=1)
    found = sorted(opened.rerank(QUERY, DOCUMENTS))  # type: ignore[union-attr, arg-type]
    assert [result.score for result in found] == pytest.approx(wanted.tolist(), abs=1e-5, rel=1e-5)
    assert (tmp_path / "bundle" / "idf.json").exists() == (not one_graph)


def test_a_compiled_ranker_weighs(model: ColBERT, wanted: np.ndarray) -> None:
    found = sorted(compile_ranker(model, backend="eager").rerank(QUERY, DOCUMENTS))
    assert [result.score for result in found] == pytest.approx(wanted.tolist(), abs=1e-5, rel=1e-5)


def test_a_package_weighs(model: ColBERT, wanted: np.ndarray, tmp_path: Path) -> None:
    model.tokenizer.tokenizer.save(str(tmp_path / "tokenizer.json"))
    about = described(model, tmp_path)
    assert set(about.files) == {"tokenizer.json", "query_weights.npy"}
    opened = opened_package(tmp_path, about, lambda: runner(forward_of(model), about))
    found = sorted(opened.rerank(QUERY, DOCUMENTS))  # type: ignore[union-attr, arg-type]
    assert [result.score for result in found] == pytest.approx(wanted.tolist(), abs=1e-5, rel=1e-5)
