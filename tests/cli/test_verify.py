"""``rankgrad verify`` names what is wrong with a bundle, and passes one that is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.bundle import fingerprint
from rankgrad.export import export_bundle
from rankgrad.models import FeatureRanker

MODEL = "onnx/model.onnx"


def change(bundle: Path, **values: Any) -> None:
    path = bundle / "rankgrad.json"
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def rewrite(bundle: Path, edit: Callable[[onnx.ModelProto], Any], *, external: bool = False) -> None:
    """Change the fp32 graph and record it, as if it had been exported so."""
    model = onnx.load(bundle / MODEL)
    edit(model)
    onnx.save(model, bundle / MODEL, save_as_external_data=external, location="weights.bin", size_threshold=1024)
    content = json.loads((bundle / "rankgrad.json").read_text())
    content["graphs"]["fp32"] |= fingerprint(bundle / MODEL)
    change(bundle, graphs=content["graphs"])


def later_opset(model: onnx.ModelProto) -> None:
    for each in model.opset_import:
        each.version = 99


def louder(model: onnx.ModelProto) -> None:
    """Weights of another model."""
    for each in model.graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        if array.dtype == "float32" and array.ndim == 2:
            each.CopyFrom(onnx.numpy_helper.from_array(30 * array, each.name))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def without_weights(bundle: Path) -> None:
    rewrite(bundle, lambda model: None, external=True)
    (bundle / "onnx/weights.bin").unlink()


def other_tokenizer(bundle: Path) -> None:
    """Valid, and as long as before."""
    path = bundle / "tokenizer.json"
    text = path.read_text()
    assert '"sort"' in text
    path.write_text(text.replace('"sort"', '"tros"'))


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a file is missing": (lambda bundle: (bundle / "config.json").unlink(), "config.json", "is missing"),
    "a graph is cut off": (lambda bundle: cut(bundle / MODEL), MODEL, "is cut off"),
    "another tokenizer": (other_tokenizer, "tokenizer.json", "SHA-256 is not the recorded one"),
    "an opset of the future": (lambda bundle: rewrite(bundle, later_opset), "graph fp32", "Opset 99"),
    "weights beside the graph are missing": (without_weights, "graph fp32", "weights.bin"),
    "another model's weights": (lambda bundle: rewrite(bundle, louder), "scores fp32", "computes something else"),
}


@pytest.mark.parametrize("name", ["cross_encoder_bundle", "colbert_bundle"])
def test_a_whole_bundle(folders: Any, run: Callable[..., Any], name: str) -> None:
    outcome = run("verify", getattr(folders, name), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert {each["state"] for each in found} == {"ok"}
    checks = {each["check"] for each in found}
    assert {MODEL, "onnx/model_quantized.onnx", "tokenizer.json", "config.json"} <= checks
    assert {"graph fp32", "graph int8", "scores fp32", "scores int8"} <= checks


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(folders: Any, run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    damage, check, message = DAMAGE[name]
    bundle = folders.damaged("cross_encoder_bundle", tmp_path / "bundle", damage)
    outcome = run("verify", bundle, "--json")
    assert outcome.code == 1
    found = {each["check"]: each for each in json.loads(outcome.out)}
    assert found[check]["state"] == "failed"
    assert message in found[check]["message"]
    assert found["graph int8"]["state"] == ("failed" if check == "tokenizer.json" else "ok")


def test_a_changed_tokenizer_is_not_loaded(folders: Any, tmp_path: Path) -> None:
    bundle = folders.damaged("cross_encoder_bundle", tmp_path / "bundle", other_tokenizer)
    with pytest.raises(InputError, match=r"tokenizer.json is damaged \(its SHA-256"):
        deploy.load(bundle)


def test_a_bundle_without_records_says_so(folders: Any, run: Callable[..., Any], tmp_path: Path) -> None:
    bundle = folders.damaged(
        "colbert_bundle", tmp_path / "bundle", lambda bundle: change(bundle, files=None, samples=None)
    )
    outcome = run("verify", bundle)
    assert outcome.code == 0
    notes = [line for line in outcome.out.splitlines() if line.startswith("note")]
    assert [line.split(":")[0].removeprefix("note").strip() for line in notes] == [
        "tokenizer and configuration",
        "scores fp32",
        "scores int8",
    ]
    assert all("export it again" in line for line in notes)
    assert f"ok      {MODEL}" in outcome.out


def test_an_extra_file_is_noted(folders: Any, run: Callable[..., Any], tmp_path: Path) -> None:
    bundle = folders.damaged(
        "cross_encoder_bundle", tmp_path / "bundle", lambda bundle: (bundle / "onnx/old.onnx").write_text("x")
    )
    outcome = run("verify", bundle)
    assert outcome.code == 0
    assert "note    onnx/old.onnx" in outcome.out


def test_a_feature_ranker(run: Callable[..., Any], tmp_path: Path) -> None:
    model = FeatureRanker(3, hidden=(4,))
    model.fit_transform(torch.randn(30, 3))
    export_bundle(model, tmp_path / "bundle")
    outcome = run("verify", tmp_path / "bundle")
    assert outcome.code == 0
    assert [line.split(":")[0] for line in outcome.out.splitlines()] == [
        "ok      model.onnx",
        "ok      graph fp32",
        "ok      scores fp32",
    ]
    samples = json.loads((tmp_path / "bundle/rankgrad.json").read_text())["samples"]
    samples["lists"][0]["scores"][0] += 0.01
    change(tmp_path / "bundle", samples=samples)
    outcome = run("verify", tmp_path / "bundle")
    assert outcome.code == 1
    assert "failed  scores fp32" in outcome.out


def test_what_is_no_bundle(run: Callable[..., Any], folders: Any) -> None:
    outcome = run("verify", folders.beir)
    assert outcome.code == 2
    assert "is no bundle" in outcome.err


def test_it_runs_without_torch(folders: Any) -> None:
    script = (
        "import sys\n"
        "from rankgrad.deploy.verify import main\n"
        f"assert main([{str(folders.colbert_bundle)!r}]) == 0\n"
        "assert not {'torch', 'transformers', 'onnx'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") >= 8
