"""Permutation importance is its formula, finds what is used, and is drawn whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import FeatureLists, FeatureTable
from rankgrad.evaluation import Importance, permutation_importance, plot_importance
from rankgrad.evaluation.importance_plot import importance_figure
from rankgrad.metrics import NDCG, ReciprocalRank
from rankgrad.models import FeatureRanker

LENGTHS = (7, 1, 12, 3, 12, 9, 2, 10)


def table(features: int = 4) -> FeatureTable:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(sum(LENGTHS), features, generator=generator)
    labels = (2 * rows[:, 1] - rows[:, 3]).add(0.1 * torch.randn(len(rows), generator=generator)).round().clamp(0, 4)
    borders = torch.tensor([0, *LENGTHS]).cumsum(0)
    return FeatureTable(rows, labels, borders, tuple(f"q{place}" for place in range(len(LENGTHS))))


def used(lists: FeatureLists) -> torch.Tensor:
    return 2 * lists.features[..., 1] - lists.features[..., 3]


def test_the_features_that_are_used_lead() -> None:
    found = permutation_importance(used, table(), names=["a", "b", "c", "d"])
    assert [found.names[feature] for feature in found.order()] == ["b", "d", "a", "c"]
    assert found.drops[[0, 2]].abs().max() == 0
    assert found.mean[1] > found.mean[3] > 0.01
    assert (found.metric, found.repeats, found.drops.shape) == ("nDCG@10", 5, (4, len(LENGTHS)))
    assert found.drops[:, 1].abs().max() == 0, "one item has one order"
    low, high = found.interval(1)
    assert low < found.mean[1] < high
    assert found.interval(0) == (0.0, 0.0)
    assert found.deviation[1].item() == pytest.approx(np.std(found.drops[1].numpy()), abs=1e-6)


@pytest.mark.parametrize("within_lists", [False, True])
def test_it_is_the_formula(within_lists: bool) -> None:
    """By hand: each list alone, with the column replaced by the same values in another order."""
    data, metric = table(), ReciprocalRank(k=5)
    seen: list[torch.Tensor] = []

    def model(lists: FeatureLists) -> torch.Tensor:
        seen.append(lists.features.clone())
        return used(lists)

    found = permutation_importance(model, data, metric=metric, repeats=2, within_lists=within_lists, rows_a_run=10**6)
    mask, whole = seen[0].new_zeros(len(LENGTHS), max(LENGTHS), dtype=torch.bool), seen[0]
    order = np.argsort(-np.array(LENGTHS), kind="stable").tolist()
    labels = torch.zeros(mask.shape)
    for row, query in enumerate(order):
        mask[row, : LENGTHS[query]] = True
        labels[row, : LENGTHS[query]] = data.labels[data.cu_seqlens[query] : data.cu_seqlens[query + 1]]
    assert len(seen) == 1 + 4 * 2
    for feature in range(4):
        drops = torch.zeros(len(LENGTHS))
        for changed in seen[1 + 2 * feature : 3 + 2 * feature]:
            others = [other for other in range(4) if other != feature]
            assert torch.equal(changed[..., others], whole[..., others])
            assert not torch.equal(changed[..., feature], whole[..., feature])
            assert torch.equal(changed[..., feature][mask].sort().values, data.features[:, feature].sort().values)
            kept = [
                torch.equal(one.sort().values, two.sort().values)
                for one, two in zip(changed[..., feature], whole[..., feature], strict=True)
            ]
            assert all(kept) is within_lists
            values = [metric(used(FeatureLists(rows, mask)), labels, mask) for rows in (whole, changed)]
            drops[order] += (values[0] - values[1]) / 2
        torch.testing.assert_close(found.drops[feature], drops)


def test_runs_and_seeds() -> None:
    whole, again, other = (
        permutation_importance(used, table(), rows_a_run=size, seed=seed)
        for size, seed in ((8192, 0), (13, 0), (8192, 1))
    )
    torch.testing.assert_close(again.drops, whole.drops)
    torch.testing.assert_close(again.baseline, NDCG(k=10)(*padded()))
    assert not torch.equal(other.drops, whole.drops)
    assert whole.names == ("1", "2", "3", "4")


def padded() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    data, pad = table(), torch.nn.utils.rnn.pad_sequence
    rows, labels = (pad(list(each.split(LENGTHS)), batch_first=True) for each in (data.features, data.labels))
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return used(FeatureLists(rows, mask)), labels, mask


def test_a_ranker_is_measured_without_dropout_and_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    model = FeatureRanker(4, hidden=(4,), transform="none", dropout=0.5)
    one, two = (permutation_importance(model, table(), repeats=1, progress=shown) for shown in (False, True))
    assert torch.equal(one.drops, two.drops)
    assert model.training
    assert not one.drops.requires_grad
    assert "shuffling" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "repeats=0"),
        ({"rows_a_run": 0}, "rows_a_run=0"),
        ({"names": ["a"]}, "names: expected 4, one a feature, got 1"),
        ({"names": "abcd"}, "one a feature, got abcd"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        permutation_importance(used, table(), **options)


def test_no_query() -> None:
    empty = FeatureTable(torch.zeros(0, 2), torch.zeros(0), torch.tensor([0]), ())
    with pytest.raises(InputError, match="no query"):
        permutation_importance(used, empty)


@pytest.fixture(scope="module")
def importance() -> Importance:
    return permutation_importance(used, table(30), repeats=1)


def test_bars_are_the_means_of_the_first(importance: Importance) -> None:
    figure = importance_figure(importance)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["2", "4"]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx(importance.mean[importance.order()[:20]].tolist())
    assert "the first 20 of 30 features" in axes.get_title()
    assert axes.get_xlabel().startswith("drop of nDCG@10")
    assert importance_figure(importance, top=3, title="mine").axes[0].get_title() == "mine"


def test_a_picture_is_written_whole_or_not_at_all(
    importance: Importance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plot_importance(importance, tmp_path / "new" / "importance.svg", top=2)
    assert (tmp_path / "new" / "importance.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match=r"end it in \.png"):
        plot_importance(importance, tmp_path / "importance.txt")
    with pytest.raises(InputError, match="top=0"):
        plot_importance(importance, tmp_path / "importance.png", top=0)
    from matplotlib.figure import Figure

    def broken(self: Figure, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="the disk is full"):
        plot_importance(importance, tmp_path / "importance.png")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_rows_go_where_the_weights_are() -> None:
    class Elsewhere(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1, device="meta"))
            self.seen: set[str] = set()

        def forward(self, lists: FeatureLists) -> torch.Tensor:
            self.seen |= {lists.features.device.type, lists.mask.device.type}
            return torch.zeros(lists.mask.shape)

    model = Elsewhere()
    permutation_importance(model, table(), repeats=1)
    assert model.seen == {"meta"}
