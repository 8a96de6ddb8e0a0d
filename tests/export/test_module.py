"""Any module of tensors as a graph: compared over sizes, refused where an axis is fixed, or it says something else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.export import ParityError, export_fusion, export_module
from rankgrad.export.trace import Declared
from rankgrad.fuse import LearnedFusion, align
from rankgrad.models import FeatureRanker
from rankgrad.modules.soft_ranking import SoftRank
from rankgrad.types import Ranking

ITEMS = ("lists", "items")


class RankedFeatures(nn.Module):
    """A feature ranker whose scores become soft ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.ranker = FeatureRanker(3, hidden=(4,))
        self.rank = SoftRank(temperature=0.5, relative=True)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.rank(self.ranker.forward_lists(features, mask), mask=mask)


def test_a_ranker_that_ends_in_soft_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, path = RankedFeatures(), tmp_path / "ranks.onnx"
    module.ranker.transform.fit(torch.randn(50, 3))
    example = {"features": torch.randn(2, 5, 3), "mask": torch.ones(2, 5, dtype=torch.bool)}
    shapes = {"features": (*ITEMS, 3), "mask": ITEMS, "ranks": ITEMS}
    declared = export_module(module, example, path, axes=shapes)
    assert (declared.inputs, declared.output) == (("features", "mask"), "ranks")
    features, mask = torch.randn(1, 9, 3), torch.arange(9)[None] < 7
    found = onnxruntime.InferenceSession(path).run(None, {"features": features.numpy(), "mask": mask.numpy()})[0]
    # Soft ranks of n items sum to n (n + 1) / 2, and a masked item has none.
    assert found.sum() == pytest.approx(7 * 8 / 2, abs=1e-4)
    assert found[0, 7:].tolist() == [0.0, 0.0]
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.onnx"]

    def copy_graph(*_: Any, **__: Any) -> Declared:
        shutil.copy(path, _[2])
        return declared

    # The same graph for a module of another temperature.
    monkeypatch.setattr("rankgrad.export.module.write_graph", copy_graph)
    module.rank = SoftRank(temperature=0.51, relative=True)
    with pytest.raises(
        ParityError, match=r"disagrees with the module at \{'lists': 2, 'items': 3\}: ranks is \(2, 3\)"
    ):
        export_module(module, example, tmp_path / "other.onnx", axes=shapes)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.onnx"]


def ranking(ids: list[int], scores: list[float]) -> Ranking:
    return Ranking(torch.tensor([ids]), torch.tensor([scores]), torch.ones(1, len(ids), dtype=torch.bool))


@pytest.mark.parametrize(
    ("options", "inputs"),
    [({"k": 10.0}, ("ranks",)), ({"soft_ranks": True, "temperature": 0.5}, ("scores", "present"))],
    ids=["ranks", "soft ranks"],
)
def test_a_learned_fusion_gives_the_scores_of_its_ranking(
    tmp_path: Path, options: dict[str, Any], inputs: tuple[str, ...]
) -> None:
    fusion = LearnedFusion(2, weights=(3, 1), **options)
    assert export_fusion(fusion, tmp_path / "fusion.onnx").inputs == inputs
    rankings = [ranking([2, 0], [2.0, 1.0]), ranking([0, 1, 4], [2.0, 1.5, 1.0])]
    aligned, expected = align(rankings), fusion(rankings)
    # One more column, of a document that no list holds.
    feeds = {name: np.pad(getattr(aligned, name).numpy(), ((0, 0), (0, 0), (0, 1))) for name in inputs}
    found = onnxruntime.InferenceSession(tmp_path / "fusion.onnx").run(None, feeds)[0][0]
    places = torch.searchsorted(aligned.ids[0], expected.ids[0]).tolist()
    np.testing.assert_allclose(found[places], expected.scores[0].detach().numpy(), rtol=1e-5)
    assert found[-1] == -np.inf


class FixedWidth(nn.Module):
    """Adds a row of seven numbers."""

    def forward(self, x: Tensor, /) -> Tensor:
        return x + torch.arange(7.0)


def test_a_fixed_axis_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="items"):
        export_module(FixedWidth(), {"x": torch.randn(2, 7)}, tmp_path / "a.onnx", axes={"x": ITEMS, "y": ITEMS})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"x": ITEMS}, "then of each output, got x"),
        ({"y": ITEMS, "x": ITEMS}, "expected those of x"),
        ({"x": ("lists",), "y": ITEMS}, "x has 2 in the example, and 1 are named"),
        ({"x": ("lists", 6), "y": ITEMS}, "a fixed one of 6, and 7 in the example"),
        ({"x": ("lists", "lists"), "y": ITEMS}, "'lists' of x is 7 in the example"),
    ],
)
def test_axes_that_do_not_fit_the_example(tmp_path: Path, axes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_module(nn.Identity(), {"x": torch.randn(2, 7)}, tmp_path / "a.onnx", axes=axes)
