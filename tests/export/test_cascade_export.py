"""A cascade of feature rankers as one graph: the hard cascade, for lists of any length, or no bundle at all."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data.feature_lists import FeatureLists
from rankgrad.deploy.verification import verify_bundle
from rankgrad.export import ParityError, export_bundle, feature_bundle
from rankgrad.export.cascade_probe import cascade_probes, settled_rows, stage_scores
from rankgrad.export.feature_parity import check_lists
from rankgrad.export.feature_probe import PaddedRows
from rankgrad.export.trace import OPSET, Declared
from rankgrad.pipeline import FeatureCascade

from .graph_faults import drop_mask, with_fault

COLUMNS: list[Any] = [[2, 0], [1, 2, 3], None]
CUTOFFS = (6, 3)


@pytest.fixture(scope="module")
def model() -> FeatureCascade:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = FeatureCascade(
            4,
            columns=COLUMNS,
            hidden=[[4], [6], [8]],
            cutoffs=[9, 9],
            costs=[0.01, 0.1, 1],
            transform="standardise",
        )
        made.fit_transform(torch.randn(60, 4).exp() * torch.tensor([1.0, 100.0, 0.1, 1.0]))
    with torch.no_grad():
        # Learned ones: not what the settings say, nor whole.
        made.cascade.log_cutoffs.copy_((torch.tensor([5.8, 3.3]) - 1).log())
    return made.eval()


@pytest.fixture(scope="module")
def bundle(model: FeatureCascade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "cascade"
    export_bundle(model, folder, feature_names=["clicks", "length", "title match", "age"])
    return folder


def rows(model: FeatureCascade, lists: int, items: int) -> PaddedRows:
    """Random lists in which three items in four are real, anywhere."""
    features = torch.randn(lists, items, 4).exp().numpy()
    return settled_rows(
        model, PaddedRows(features, np.random.default_rng(0).random((lists, items)) < 0.75), tolerance=1e-5
    )


def test_the_bundle_gives_what_the_evaluated_cascade_gives(bundle: Path, model: FeatureCascade) -> None:
    exported = deploy.load(bundle)
    assert isinstance(exported, deploy.FeatureRanker)
    assert exported.listwise
    for items in (1, 3, 4, 6, 7, 30):
        given = rows(model, 5, items)
        with torch.no_grad():
            expected = model(FeatureLists(*(torch.from_numpy(field) for field in given))).numpy()
        got = exported.score(*given)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        for one, other, real in zip(got, expected, given.mask, strict=True):
            assert (-one[real]).argsort(kind="stable").tolist() == (-other[real]).argsort(kind="stable").tolist()


def test_what_a_stage_drops_stands_below_in_its_order(bundle: Path, model: FeatureCascade) -> None:
    given = rows(model, 1, 40)
    real = np.flatnonzero(given.mask[0])
    first, second, third = (scores[0].numpy() for scores in stage_scores(model, given))
    one = real[(-first[real]).argsort()]
    two = one[:6][(-second[one[:6]]).argsort()]
    three = two[:3][(-third[two[:3]]).argsort()]
    exported: Any = deploy.load(bundle)
    got = exported.score(*given)[0]
    assert real[(-got[real]).argsort()].tolist() == [*three, *two[3:], *one[6:]]
    np.testing.assert_allclose(got[three], third[three], rtol=1e-5, atol=1e-6)
    steps = third[three].min() - np.arange(1, len(real) - 2)
    np.testing.assert_allclose(got[[*two[3:], *one[6:]]], steps, rtol=1e-5)


def test_settings_card_and_verification(bundle: Path, model: FeatureCascade) -> None:
    content = json.loads((bundle / "rankgrad.json").read_text())
    assert (content["kind"], content["inputs"]) == ("feature_ranker", ["features", "mask"])
    costs = pytest.approx([0.01, 0.1, 1.0])
    assert content["cascade"] == {
        "cutoffs": [6, 3],
        "costs": costs,
        "columns": COLUMNS,
        "hidden": [[4], [6], [8]],
    }
    compared = [(each["items"], each["difference"]) for each in content["parity"]["shapes"]]
    assert {3, 4, 6, 7} <= {items for items, _ in compared}
    assert max(difference for _, difference in compared) < 1e-6
    assert [len(each["scores"]) for each in content["samples"]["lists"]] == [4, 10]
    card = (bundle / "README.md").read_text()
    assert "| 1 | 3, 1 | 4 | all n | 0.01 |\n| 2 | 2, 3, 4 | 6 | the best 6 of stage 1 | 0.1 |" in card
    assert "| 3 | all | 8 | the best 3 of stage 2 | 1 |" in card
    assert "0.01 n + 0.1 x 6 + 1 x 3 milliseconds" in card
    assert "The order of every list is the same" in card
    assert {each.state for each in verify_bundle(bundle)} == {"ok"}


def other_cutoff(model: FeatureCascade) -> FeatureCascade:
    """The same cascade, which hands one item more on to the last stage."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.cascade.log_cutoffs[1].fill_(3.0).log_()
    assert other.cascade.hard_cutoffs == (6, 4)
    return other


def test_a_graph_that_cuts_elsewhere_or_overlooks_its_mask_is_refused(
    bundle: Path, model: FeatureCascade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = bundle / "model.onnx"
    graph, other = deploy.Graph(right, threads=1), other_cutoff(model)
    assert len(check_lists(model, graph, tolerance=1e-5)) == len(cascade_probes(model, tolerance=1e-5))
    unmasked = with_fault(right, tmp_path / "unmasked.onnx", lambda graph: drop_mask(graph, "mask"))
    for wrong, of in ((graph, other), (deploy.Graph(unmasked, threads=1), model)):
        with pytest.raises(ParityError, match=r"disagrees with torch at ListShape\("):
            check_lists(of, wrong, tolerance=1e-5)
    # Nor are the recorded lists the same to the two cascades.
    sample = json.loads((bundle / "rankgrad.json").read_text())["samples"]["lists"][-1]
    rows = torch.tensor([[torch.nan if value is None else value for value in row] for row in sample["features"]])
    with torch.no_grad():
        differs = other.forward_lists(rows[None], torch.ones(1, len(rows), dtype=torch.bool))[0].numpy()
    assert np.abs(differs - sample["scores"]).max() > 0.01

    def export(_: Any, path: Path) -> Declared:
        path.write_bytes(right.read_bytes())
        return Declared(("features", "mask"), "scores", OPSET)

    monkeypatch.setattr(feature_bundle, "export_onnx", export)
    with pytest.raises(ParityError, match="nothing is written"):
        export_bundle(other, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["unmasked.onnx"]


def test_ties_are_handed_on_by_place_and_a_stage_that_tells_nothing_apart_is_refused(
    bundle: Path, model: FeatureCascade, tmp_path: Path
) -> None:
    tied = copy.deepcopy(model)
    (_, first), *_ = tied.rankers()
    torch.nn.init.zeros_(first.score.weight)
    path = with_fault(bundle / "model.onnx", tmp_path / "tied.onnx", without_first_score)
    features, mask = torch.randn(2, 12, 4).exp(), torch.ones(2, 12, dtype=torch.bool)
    mask[:, 1] = False
    got = torch.from_numpy(deploy.Graph(path, threads=1)(PaddedRows(features.numpy(), mask.numpy())))
    with torch.no_grad():
        expected = tied.forward_lists(features, mask)
    torch.testing.assert_close(got, expected)
    best = got.masked_fill(~mask, -torch.inf).argsort(dim=1, descending=True)
    assert all(set(row[:6].tolist()) == {0, 2, 3, 4, 5, 6} for row in best)
    assert all(row[6:11].tolist() == [7, 8, 9, 10, 11] for row in best)
    with pytest.raises(InputError, match="tell apart no more than 1 items of any random list and the first hands on 6"):
        check_lists(tied, deploy.Graph(path, threads=1), tolerance=1e-5)


def without_first_score(graph: onnx.GraphProto) -> None:
    """The first stage gives everything the same score."""
    # From 4 hidden numbers to a score; the exporter turns a layer's weights round and renames them.
    (weight,) = (each for each in graph.initializer if list(each.dims) == [4, 1])
    nothing = np.zeros(tuple(weight.dims), dtype=np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(nothing, weight.name))


def test_what_is_refused_before_anything_is_exported(model: FeatureCascade, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a FeatureCascade has one graph, in fp32; leave out int8"):
        export_bundle(model, tmp_path / "new", variants=("int8",))
    with pytest.raises(InputError, match="is not fitted: call fit"):
        export_bundle(FeatureCascade(**model.settings), tmp_path / "new")
    with pytest.raises(InputError, match="in training mode"):
        copy.deepcopy(model).train().forward_lists(torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
    assert list(tmp_path.iterdir()) == []
