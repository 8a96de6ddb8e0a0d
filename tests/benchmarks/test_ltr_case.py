"""The learning-to-rank benchmark: its data is what it says, its numbers are formulas, and a quick run writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from benchmarks import ltr, ltr_worker
from benchmarks.__main__ import main
from benchmarks.ltr_data import FOLDS, load, made
from benchmarks.ltr_fitted import Fitted
from benchmarks.ltr_generate import generated
from benchmarks.ltr_quality import Judged, estimate
from benchmarks.ltr_settings import LOSSES
from benchmarks.ltr_systems import System, trained
from benchmarks.record import read
from rankgrad._checks import InputError
from rankgrad.metrics import ndcg


def letor(folder: Path, name: str, queries: int, *, features: int = 3) -> None:
    rows = [f"{row % 3} qid:{query} {row % features + 1}:{row}" for query in range(queries) for row in range(1, 5)]
    (folder / name).write_text("\n".join(rows) + "\n")


def test_generated_lists_repeat_and_their_utility_orders_them_best() -> None:
    table, utility = generated(200, items=12, seed=1)
    again, same = generated(200, items=12, seed=1)
    assert torch.equal(table.features, again.features)
    assert torch.equal(utility, same)
    counts = table.cu_seqlens.diff()
    assert counts.min() == 6
    assert counts.max() == 12
    shares = torch.bincount(table.labels.long()) / len(utility)
    assert_close(shares, torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]), atol=0.002, rtol=0)
    judged = Judged.of(table)
    known = judged.mean(utility)
    alone = max(judged.mean(sign * feature) for feature in table.features.T for sign in (1, -1))
    assert alone < known - 0.1
    assert known < 1


def test_folds_share_the_test_and_validate_on_other_fifths() -> None:
    folds = made(quick=True)
    assert len(folds) == FOLDS
    assert all(torch.equal(fold.test.features, folds[0].test.features) for fold in folds)
    held = [name for fold in folds for name in fold.validation.queries]
    assert sorted(held) == sorted({*folds[0].train.queries, *folds[0].validation.queries})
    assert all(not {*fold.train.queries} & {*fold.validation.queries} for fold in folds)
    rows = sum(len(getattr(folds[0], part).labels) for part in ("train", "validation", "test"))
    assert rows == folds[1].test.cu_seqlens[-1] + folds[1].train.cu_seqlens[-1] + folds[1].validation.cu_seqlens[-1]


def test_a_letor_folder_is_read_in_either_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected train\.txt, vali\.txt, test\.txt, or"):
        load(tmp_path)
    letor(tmp_path, "rank.train", 10)
    letor(tmp_path, "rank.test", 2, features=5)
    without = load(tmp_path)
    assert [len(fold.validation.queries) for fold in without] == [2] * FOLDS
    assert without[0].train.features.shape[1] == without[0].test.features.shape[1] == 5
    for name, queries in (("train.txt", 6), ("vali.txt", 3), ("test.txt", 2)):
        letor(tmp_path, name, queries)
    assert [len(fold.validation.queries) for fold in load(tmp_path)] == [3] * FOLDS


def test_quality_is_that_of_padded_lists() -> None:
    table, utility = generated(5, items=6)
    scores = utility.split(table.cu_seqlens.diff().tolist())
    labels = table.labels.split(table.cu_seqlens.diff().tolist())
    wanted = [float(ndcg(s, y, k=5, gain="exp2", empty=1.0)) for s, y in zip(scores, labels, strict=True)]
    assert_close(Judged.of(table).values(utility, 5), torch.tensor(wanted))


def test_an_interval_is_that_of_the_two_way_bootstrap() -> None:
    values = torch.randn(5, 400, generator=torch.Generator().manual_seed(0))
    low, mean, high = estimate(values)
    assert_close(mean, float(values.double().mean()))
    # Queries alone, by the normal approximation; seeds widen it.
    error = float(values.mean(dim=0).std() / 400**0.5)
    assert low < mean - 1.5 * error < mean + 1.5 * error < high
    widened = estimate(values + torch.arange(5.0).unsqueeze(1))
    assert widened.high - widened.low > 4 * (high - low)


def test_validation_chooses_and_the_chosen_are_not_trained_again() -> None:
    calls = []

    def fit(fold: object, setting: object, seed: int) -> Fitted:
        calls.append((setting, seed))
        return Fitted({"a": 0.5, "b": 0.7, "c": 0.6}[str(setting)], torch.zeros(3), 1.0)

    folds = made(quick=True)
    found = trained(System("x", fit, [Named("a"), Named("b"), Named("c")]), folds)  # type: ignore[list-item]
    assert found.setting == "b"
    assert len(found.seconds) == FOLDS
    assert len(calls) == 3 * FOLDS
    assert len(set(calls)) == len(calls)


class Named(str):
    @property
    def name(self) -> str:
        return str(self)


@pytest.mark.slow
def test_a_quick_run_writes_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(module: str, job: dict, *, threads: int) -> list:
        assert module == ltr_worker.__name__
        return ltr_worker.work(job | {"threads": threads})

    monkeypatch.setattr(ltr, "run_worker", here)
    assert main(["ltr", "--quick", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("ltr--*.csv")
    rows, _ = read(path)
    assert path.with_suffix(".png").stat().st_size > 10_000
    best = [row for row in rows if row.metric.startswith("nDCG@10, mean")]
    ours = [row.provider for row in best if row.provider.startswith("rankgrad")]
    names = [*LOSSES, "softmax, attention", "softmax, no bins"]
    assert ours == [f"rankgrad, {name}" for name in names]
    assert all(0 < row.p20 <= row.p50 <= row.p80 <= 1 for row in best)
    assert {row.metric.partition(",")[0] for row in rows if row.unit == "nDCG"} >= {"nDCG@1", "nDCG@5", "nDCG@10"}
    assert all(row.p50 > 0 for row in rows if row.unit == "s")
