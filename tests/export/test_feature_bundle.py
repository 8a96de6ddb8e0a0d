"""A feature ranker's bundle: its transform and attention are in the graph, and a graph that disagrees is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data import FeatureTable
from rankgrad.export import ParityError, export_bundle, feature_bundle
from rankgrad.export.feature_parity import check_lists
from rankgrad.export.feature_probe import SHAPES
from rankgrad.export.trace import OPSET, Declared, check_axes, write_graph
from rankgrad.models import FeatureRanker
from rankgrad.modules import FeatureBins, FeatureTransform

from .graph_faults import drop_last, drop_mask, scale_weight, with_fault

NAMES = ["clicks", "length", "title match"]
KINDS = ("none", "log1p", "standardise", "log1p_standardise", "quantile")


def rows(count: int = 60) -> torch.Tensor:
    """A feature far below 1, one with a long tail, one that never varies."""
    drawn = torch.randn(count, 3, generator=torch.Generator().manual_seed(0)).exp()
    return drawn * torch.tensor([1e-6, 100.0, 0.0]) + torch.tensor([0.0, 0.0, 2.0])


@pytest.fixture(scope="module")
def ranker() -> FeatureRanker:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FeatureRanker(3, hidden=(8, 4), heads=2, attention_layers=1)
    made.fit_transform(rows())
    return made


@pytest.fixture(scope="module")
def bundle(ranker: FeatureRanker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "features"
    said: list[str] = []
    content = export_bundle(ranker, folder, feature_names=NAMES, progress=said.append)
    assert content == json.loads((folder / "rankgrad.json").read_text()) | {"inputs": content["inputs"]}
    assert ranker.training, "the model is left as it was"
    assert len(said) == 2
    return folder


def test_every_transform_is_in_its_graph(tmp_path: Path) -> None:
    transforms = nn.ModuleList([*(FeatureTransform(3, kind=kind) for kind in KINDS), FeatureBins(3, bins=4)])
    for transform in transforms:
        transform.fit(rows())

    class All(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transforms = transforms

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([transform(x) for transform in self.transforms], dim=-1)

    every, width = All().eval(), 3 * len(KINDS) + 12
    write_graph(every, {"x": rows(2)}, tmp_path / "all.onnx", shapes={"x": ("rows", 3), "seen": ("rows", width)})
    x = torch.cat([rows(), -rows(), rows().square(), rows(6)])
    x[-6:, 1] = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 1e30, -1e30])
    got = onnxruntime.InferenceSession(str(tmp_path / "all.onnx")).run(None, {"x": x.numpy()})[0]
    expected = every(x).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    # What it takes: of the first feature the exporter's own log(1 + x) would be off by far more than that.
    deviation = transforms[3].deviation[0].item()
    naive = np.log(np.float32(1) + rows()[:, 0].numpy())
    assert np.abs(naive - rows()[:, 0].double().log1p().numpy()).max() / deviation > 1e-2


def test_files_and_settings(bundle: Path, ranker: FeatureRanker) -> None:
    assert {path.name for path in bundle.iterdir()} == {"README.md", "model.onnx", "rankgrad.json"}
    content = json.loads((bundle / "rankgrad.json").read_text())
    assert (content["kind"], content["inputs"], content["output"]) == ("feature_ranker", ["features", "mask"], "scores")
    assert content["features"] == {"count": 3, "names": NAMES, "listwise": True}
    made_of = content["provenance"]
    assert made_of["settings"] == ranker.settings
    assert made_of["parameters"] == sum(each.numel() for each in ranker.parameters())
    assert FeatureRanker(**made_of["settings"]).settings == ranker.settings
    differences = [each.pop("difference") for each in content["parity"]["shapes"]]
    assert content["parity"]["shapes"] == [shape._asdict() for shape in SHAPES]
    assert max(*differences, content["parity"]["ragged_difference"]) < 1e-6
    assert list(content["graphs"]) == ["fp32"]
    with pytest.raises(InputError, match=r"no variant 'int8': choose one of fp32$"):
        deploy.load(bundle, variant="int8")


def test_the_saved_axes_are_free(bundle: Path) -> None:
    model = onnx.load(str(bundle / "model.onnx"))
    items = ("lists", "items")
    check_axes(model.graph, {"features": (*items, 3), "mask": items, "scores": items})
    kinds = [each.type.tensor_type.elem_type for each in (*model.graph.input, *model.graph.output)]
    assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT]
    assert b".py" not in (bundle / "model.onnx").read_bytes()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(InputError, match=r"features has shape \['lists', 5, 3\], expected \['lists', 'items', 3\]"):
        check_axes(model.graph, {"features": (*items, 3), "mask": items, "scores": items})


def test_the_cards_code_runs(bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(bundle.parent)
    card = (bundle / "README.md").read_text()
    assert "3. title match" in card
    ours, plain = card.split("```python\n")[1:]
    exec(ours.partition("```")[0], {})
    assert len(capsys.readouterr().out.splitlines()) == 2
    scope: dict[str, Any] = {}
    exec(plain.partition("```")[0], scope)
    assert scope["output"].shape == (1, 4)


FAULTS: dict[str, Any] = {
    "mask dropped": lambda graph: drop_mask(graph, "mask"),
    "bias of the head missing": drop_last,
    "another mean": lambda graph: scale_weight(graph, "transform.mean"),
    "another learnt weight": lambda graph: scale_weight(graph, "layers.0.bias"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_graph_is_found(bundle: Path, ranker: FeatureRanker, tmp_path: Path, fault: str) -> None:
    reference = ranker.__class__.from_pretrained(_saved(ranker, tmp_path / "saved"))
    assert len(check_lists(reference, deploy.Graph(bundle / "model.onnx", threads=1), tolerance=1e-5)) == len(SHAPES)
    wrong = with_fault(bundle / "model.onnx", tmp_path / "wrong.onnx", FAULTS[fault])
    with pytest.raises(ParityError, match=r"disagrees with torch at ListShape\("):
        check_lists(reference, deploy.Graph(wrong, threads=1), tolerance=1e-5)


@pytest.mark.parametrize("fault", ["mask dropped", "another mean"])
def test_a_faulty_export_leaves_the_old_bundle(
    bundle: Path, ranker: FeatureRanker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def export(_: Any, path: Path) -> Declared:
        with_fault(bundle / "model.onnx", path, FAULTS[fault])
        return Declared(("features", "mask"), "scores", OPSET)

    old = Path(shutil.copytree(bundle, tmp_path / "old"))
    monkeypatch.setattr(feature_bundle, "export_onnx", export)
    with pytest.raises(ParityError, match="nothing is written"):
        export_bundle(ranker, old)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (old / "rankgrad.json").read_bytes() == (bundle / "rankgrad.json").read_bytes()


def judged() -> FeatureTable:
    grades = (torch.arange(60) % 3).float()
    return FeatureTable(rows(), grades, torch.tensor([0, 25, 26, 60]), ("a", "b", "c"))


def test_time_and_quality_are_measured(ranker: FeatureRanker, tmp_path: Path) -> None:
    table = judged()
    content = export_bundle(ranker, tmp_path / "new", quality=table)
    model = ranker.from_pretrained(_saved(ranker, tmp_path / "saved")).eval()
    parts = [table.features[:25], table.features[25:26], table.features[26:]]
    with torch.inference_mode():
        found = [model.forward_lists(part[None], torch.ones(1, len(part), dtype=torch.bool))[0] for part in parts]
    expected = [_ndcg(scores, grades) for scores, grades in zip(found, table.labels.split([25, 1, 34]), strict=True)]
    quality = content["quality"]
    assert (quality["queries"], quality["documents"]) == (3, 60)
    assert quality["torch"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert quality["variants"]["fp32"] == {"ndcg": pytest.approx(quality["torch"]), "loss": 0.0, "fit": True}
    assert content["graphs"]["fp32"]["fit"] is True
    times = content["latency"]["variants"]["fp32"]
    assert 0 < times["fastest"] <= times["median"] <= times["slowest"]
    card = (tmp_path / "new" / "README.md").read_text()
    assert f"| fp32 | {quality['torch']:.4f} | +0.00 | fit |" in card
    assert f"| {1000 * times['fastest']:.2f} | {1000 * times['median']:.2f} |" in card
    assert "Microseconds a row, where one list of 100 rows is scored on 1 thread" in card


def _ndcg(scores: torch.Tensor, grades: torch.Tensor) -> float:
    """At 10, with linear gains, from the definition."""
    gains, discounts = grades, 1 / torch.log2(torch.arange(10) + 2.0)
    found = gains[scores.argsort(descending=True, stable=True)][:10]
    ideal = gains.sort(descending=True).values[:10]
    return float((found * discounts[: len(found)]).sum() / (ideal * discounts[: len(ideal)]).sum())


def test_what_is_refused_before_anything_is_exported(ranker: FeatureRanker, tmp_path: Path) -> None:
    for options, message in (
        ({"feature_names": NAMES[:2]}, "expected 3 names, one a feature, got 2 names"),
        ({"feature_names": "abc"}, "got one string"),
        ({"feature_names": ["a", "b", "a"]}, "'a' occurs twice"),
        ({"calibration_texts": [("sort", ("a key",))]}, "a FeatureRanker reads no texts"),
        ({"quality": judged()._replace(features=rows()[:, :2])}, "rows have 2 features, and the model reads 3"),
        ({"quality": judged()._replace(labels=torch.zeros(60))}, "quality: no row has a grade above 0"),
    ):
        with pytest.raises(InputError, match=message):
            export_bundle(ranker, tmp_path / "new", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not fitted: call fit"):
        export_bundle(FeatureRanker(3, hidden=(4,)), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def _saved(ranker: FeatureRanker, folder: Path) -> Path:
    ranker.save_pretrained(folder)
    return folder
