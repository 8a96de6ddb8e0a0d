"""``rankgrad export`` opens a trained folder of any kind, ours or another library's, and hands its options on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad import models
from rankgrad._checks import InputError
from rankgrad.cli import _load, main
from rankgrad.deploy.serve import run as serve_run

KINDS = ("DenseEncoder", "SparseEncoder", "CausalReranker", "CrossEncoder", "ColBERT")


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder_folder: Path,
    tiny_mlm_folder: Path,
    tiny_decoder_folder: Path,
    tiny_ranker: Any,
) -> dict[str, Path]:
    """A trained folder of each kind."""
    folder = tmp_path_factory.mktemp("saved")
    made = {
        "DenseEncoder": models.DenseEncoder.from_pretrained(tiny_encoder_folder),
        "SparseEncoder": models.SparseEncoder.from_pretrained(tiny_mlm_folder),
        "CausalReranker": models.CausalReranker.from_pretrained(tiny_decoder_folder),
        "CrossEncoder": tiny_ranker("interaction"),
        "ColBERT": tiny_ranker("colbert"),
    }
    for name, model in made.items():
        model.save_pretrained(folder / name)
    return {name: folder / name for name in made}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own", [True, False], ids=["ours", "without our settings"])
def test_a_folder_is_opened_as_what_it_holds(saved: dict[str, Path], kind: str, own: bool, tmp_path: Path) -> None:
    folder = saved[kind]
    if not own:
        if kind == "CrossEncoder":
            pytest.skip("a head of our own is nothing without our settings")
        folder = tmp_path / kind
        shutil.copytree(saved[kind], folder, ignore=shutil.ignore_patterns("rankgrad_model.json"))
    assert type(_load.load_exportable(folder)).__name__ == kind


def test_options_reach_the_export(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("rankgrad.export.export_bundle", lambda *_, **options: asked.append(options) or {})
    model, out = str(saved["ColBERT"]), str(tmp_path / "out")
    assert main.main(["export", model, "--out", out, "--one-graph"]) == 0
    assert main.main(["export", model, "--out", out, "--exit-layer", "1"]) == 0
    assert [(each["one_graph"], each["exit_layer"]) for each in asked] == [(True, None), (False, 1)]
    monkeypatch.undo()
    assert main.main(["export", model, "--out", out, "--exit-layer", "1"]) == 2
    assert "exit_layer=1: a ColBERT has no exits" in capsys.readouterr().err
    assert not Path(out).exists()


def test_a_bundle_that_is_no_reranker_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rankgrad import deploy

    encoder = object.__new__(deploy.DenseEncoder)
    monkeypatch.setattr(deploy, "load", lambda *_, **__: encoder)
    with pytest.raises(
        InputError, match="holds a DenseEncoder; this command takes a cross-encoder, a causal reranker or"
    ):
        _load.load_bundle(tmp_path)
    monkeypatch.setattr(serve_run, "load", lambda *_, **__: encoder)
    with pytest.raises(InputError, match="holds a DenseEncoder, which is not served"):
        serve_run.run_server(tmp_path)
