"""Weights that do not fit into one file lie in a second one, through every step from the export to scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.bundle import fingerprint
from rankgrad.deploy.samples import list_scores
from rankgrad.deploy.verification import verify_bundle
from rankgrad.export import ParityError, export_bundle, export_module, graph_files, halve_onnx
from rankgrad.export.graph_files import atomic_graph, data_path, read_graph, save_graph
from rankgrad.export.variants import FILES
from rankgrad.types import VARIANTS, Variant

QUERY = "sort a dictionary"
DOCUMENTS = ["open a file, and read its lines!", "sort the values of a dictionary by key", "a date"]
LISTS = [(QUERY, DOCUMENTS), ("read a file", DOCUMENTS)]
LIMIT = 10_000
Rankers = Callable[[str], Any]


@pytest.fixture(scope="module")
def apart(tiny_ranker: Rankers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny ``mean`` head with all graphs, each larger than the limit."""
    folder = tmp_path_factory.mktemp("apart") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_files, "LARGEST_FILE", LIMIT)
        model = tiny_ranker("mean")
        export_bundle(model, folder, variants=VARIANTS, calibration_texts=LISTS, rank_agreement=-1.0)
    return folder


@pytest.fixture
def changed(apart: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(apart, tmp_path / "copy"))


def test_every_graph_has_its_weights_beside_it(apart: Path) -> None:
    names = {path.name for path in (apart / "onnx").iterdir()}
    assert names == {name for file in FILES.values() for name in (Path(file).name, f"{Path(file).name}_data")}
    content = json.loads((apart / "rankgrad.json").read_text())
    card = (apart / "README.md").read_text()
    for graph in content["graphs"].values():
        assert graph["data"] == {"file": f"{graph['file']}_data", **fingerprint(apart / f"{graph['file']}_data")}
        assert graph["data"]["sha256"] in card
        assert graph["data"]["file"] not in content["files"]
        model = onnx.load(apart / graph["file"], load_external_data=False)
        large = [each for each in model.graph.initializer if np.prod(each.dims) >= 1024]
        assert large
        for weight in large:
            assert not weight.raw_data
            where = {each.key: each.value for each in weight.external_data}
            assert (where["location"], int(where["offset"]) % 4096) == (Path(graph["data"]["file"]).name, 0)
    assert content["graphs"]["int8"]["data"]["bytes"] < content["graphs"]["fp32"]["data"]["bytes"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_one_file(apart: Path, tiny_ranker: Rankers, tmp_path: Path, variant: Variant) -> None:
    found = list_scores(deploy.load(apart, variant=variant, threads=1), QUERY, DOCUMENTS)  # type: ignore[arg-type]
    if variant == "fp32":
        expected = tiny_ranker("mean").score([QUERY] * len(DOCUMENTS), DOCUMENTS).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # The same graph with its weights inside.
    whole = tmp_path / "whole.onnx"
    onnx.save(read_graph(apart / FILES[variant]), whole)
    model = deploy.load(apart, variant=variant, threads=1)
    model.graph = deploy.Graph(whole, threads=1, batch_size=model.graph.batch_size)
    np.testing.assert_array_equal(found, list_scores(model, QUERY, DOCUMENTS))  # type: ignore[arg-type]


def test_a_whole_bundle_passes_wherever_it_is_put(changed: Path) -> None:
    found = verify_bundle(changed)
    assert {each.state for each in found} == {"ok"}, found
    assert "onnx/model.onnx_data" in {each.check for each in found}


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "model.onnx_data is missing"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-4096]), r"model.onnx_data has .*: it is cut off"),
    "changed": (lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]), "model.onnx_data is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_weights_are_refused(changed: Path, tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(changed / "onnx" / "model.onnx_data")
    with pytest.raises(InputError, match=message):
        deploy.load(changed)
    found = {each.check: each for each in verify_bundle(changed)}
    assert [found[check].state for check in ("onnx/model.onnx_data", "graph fp32", "graph int8")] == [
        "failed",
        "failed",
        "ok",
    ]
    if name != "changed":
        with pytest.raises(InputError, match=r"weights beside it cannot be read .* keep model.onnx_data in the same"):
            halve_onnx(changed / FILES["fp32"], tmp_path / "half.onnx")
        with pytest.raises(InputError, match="is no ONNX graph that loads"):
            deploy.Graph(changed / FILES["fp32"])
    assert list(tmp_path.iterdir()) == [changed]


def test_an_entry_without_a_checksum_of_the_weights_is_refused(changed: Path) -> None:
    content = json.loads((changed / "rankgrad.json").read_text())
    del content["graphs"]["fp32"]["data"]["sha256"]
    (changed / "rankgrad.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="an entry of graphs is not understood"):
        deploy.read_settings(changed)


class Layer(nn.Module):
    """Of 16 KiB; an unsteady one says another thing where it is traced."""

    def __init__(self, *, unsteady: bool = False) -> None:
        super().__init__()
        self.linear, self.unsteady = nn.Linear(64, 64), unsteady

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + float(self.unsteady and torch.compiler.is_exporting())


def module_to(path: Path, module: nn.Module) -> None:
    export_module(module, {"x": torch.randn(2, 64)}, path, axes={"x": ("rows", 64), "y": ("rows", 64)})


def test_a_module_over_and_under_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, module = tmp_path / "module.onnx", Layer()
    module_to(path, module)
    assert [each.name for each in tmp_path.iterdir()] == ["module.onnx"]
    with monkeypatch.context() as patch:
        patch.setattr(graph_files, "LARGEST_FILE", LIMIT)
        module_to(path, module)
        assert {each.name for each in tmp_path.iterdir()} == {"module.onnx", "module.onnx_data"}
        before = [each.read_bytes() for each in sorted(tmp_path.iterdir())]
        with pytest.raises(ParityError):
            module_to(path, Layer(unsteady=True))
        assert [each.read_bytes() for each in sorted(tmp_path.iterdir())] == before
    x = torch.randn(3, 64)
    found = ReferenceEvaluator(str(path)).run(None, {"x": x.numpy()})[0]
    np.testing.assert_allclose(found, module(x).detach().numpy(), atol=1e-5)
    module_to(path, module)
    assert [each.name for each in tmp_path.iterdir()] == ["module.onnx"], "weights of the older graph are left"


def test_no_graph_is_beside_the_weights_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_files, "LARGEST_FILE", LIMIT)
    path = tmp_path / "module.onnx"
    module_to(path, Layer())
    replace = graph_files.os.replace

    def stopped(source: Path, target: Path) -> None:
        if target == path:
            raise OSError("stopped between the two files")
        replace(source, target)

    monkeypatch.setattr(graph_files.os, "replace", stopped)
    with pytest.raises(OSError, match="between the two"), atomic_graph(path) as temporary:
        save_graph(read_graph(path), temporary)
    assert not path.exists()
    assert data_path(path).exists()
