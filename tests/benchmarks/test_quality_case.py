"""The quality benchmark: which runs are done and kept, its formulas, and a quick run of a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from benchmarks import quality, quality_worker
from benchmarks.__main__ import main
from benchmarks.ltr_plot import draw_quality
from benchmarks.machine import environment
from benchmarks.options import Options
from benchmarks.quality_data import SHARES, Lists
from benchmarks.quality_pace import Pace
from benchmarks.quality_plan import Plan, Run, chosen, do, job_of, kept, runs_of
from benchmarks.quality_recipes import CROSS, HEADS, LATE, SYSTEMS, VARIANTS
from benchmarks.quality_report import BASELINE, INTERVAL, PURE, TEST, Measured, difference, lines, rows_of
from benchmarks.record import path_for, read, write
from rankgrad._checks import InputError
from rankgrad.data import Task, Texts

PEER = next(recipe for recipe in SYSTEMS if not recipe.pair and recipe.library == "sentence_transformers")


def test_every_system_has_a_name_of_its_own_and_its_first_seed_before_any_second() -> None:
    for recipes in (SYSTEMS, VARIANTS, HEADS):
        assert len({recipe.key for recipe in recipes}) == len(recipes)
    runs = runs_of(SYSTEMS, ("a", "b"), 2, ("seconds",))
    assert len(runs) == len(set(runs)) == len(SYSTEMS) * 4
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_only_chooses_from_the_left_and_refuses_what_names_nothing() -> None:
    runs = runs_of((LATE, CROSS), ("scifact", "pydoc"), 2, ("seconds", "steps"))
    assert chosen(runs, ()) == runs
    assert chosen(runs, [f"{LATE.key},pydoc,1,steps"]) == [Run(LATE, "pydoc", 1, "steps")]
    assert chosen(runs, ["*,scifact", f"{CROSS.key},,0,steps"]) == [
        run for run in runs if run.data == "scifact" or (run.recipe, run.seed, run.budget) == (CROSS, 0, "steps")
    ]
    with pytest.raises(InputError, match="names no run; systems are rankgrad-colbert, rankgrad-cross-encoder"):
        chosen(runs, ["rankgrad-colbert,other"])


def test_a_run_is_done_once_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    job = job_of(Run(LATE, "pydoc", 0, "steps"), Plan(runs=tmp_path), Options())
    other = job_of(Run(LATE, "pydoc", 0, "steps"), Plan(runs=tmp_path, steps=9), Options())
    assert (job["steps"], job["seconds"], other["steps"]) == (46, None, 9)
    left = Path(job["folder"]) / "trained.json"
    calls: list[bool] = []

    def killed(job: dict[str, Any]) -> dict[str, Any]:
        left.write_text("{}")
        raise KeyboardInterrupt

    def whole(job: dict[str, Any]) -> dict[str, Any]:
        calls.append(left.exists())
        return {"steps": job["steps"]}

    with pytest.raises(KeyboardInterrupt):
        do(job, killed)
    assert kept(job) is None
    assert do(job, whole) == do(job, whole) == kept(job) == {"steps": 46}
    assert calls == [True]
    assert not left.exists()
    # What a job with other settings left is not taken up, and its result is not given for this one.
    with pytest.raises(KeyboardInterrupt):
        do(other, killed)
    assert do(replaced := job | {"seed": 5}, whole) == {"steps": 46}
    assert calls == [True, False]
    assert kept(job) is None
    assert kept(replaced) is not None


def test_the_pace_is_the_schedule_of_its_budget() -> None:
    pace = Pace(steps=40)
    assert [pace.factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert pace.factor(22) == pytest.approx(0.5)
    assert pace.half().steps == 20
    clock = Pace(seconds=1e-9)
    assert not clock.done(5)
    clock.begin()
    assert clock.factor(5) == 0.0
    assert clock.done(0)
    # The clock stops with the training.
    assert clock.elapsed == clock.elapsed > 0
    with pytest.raises(ValueError, match="give one of them"):
        Pace()


def test_lists_are_those_of_bm25_and_the_share_is_chosen_by_quality() -> None:
    texts = ("red fox", "red red fox", "blue fox", "green owl")
    documents = Texts(tuple("abcd"), texts)
    queries = Texts(("q", "r"), ("red fox", "green"))
    lists = Lists.of(Task("t", documents, queries, {"q": {"b": 1, "d": 1}, "r": {"d": 1}}), 3)
    assert [len(row) for row in lists.documents] == [3, 1]
    assert lists.documents[1] == ["green owl"]
    # d is relevant to q but BM25 does not find it: the ideal counts it.
    place = lists.documents[0].index("red red fox")
    second = float(1 / torch.tensor(3.0).log2())
    gains = [1.0, second, 0.5]
    own = lists.padded([[3.0, 2.0, 1.0], [1.0]])
    assert_close(lists.ndcg(own), torch.tensor([gains[place] / (1 + second), 1.0]))
    relevant = lists.labels.clone()
    assert lists.fit_weight(relevant) == 0.0
    useful = replace(lists, first=relevant)
    against = -relevant
    unit = float(against[0].double().std() / relevant[0].double().std())
    # Below one spread of the useful scores the harmful ones decide.
    weight = useful.fit_weight(against)
    assert weight in [pytest.approx(share * unit) for share in SHARES if share >= 1.0]
    assert_close(useful.ndcg(against, weight), useful.ndcg(relevant))
    assert float(useful.ndcg(against)[0]) < float(useful.ndcg(relevant)[0])


def test_a_difference_is_paired_over_seeds_and_tested_over_queries() -> None:
    a = torch.tensor([[0.5, 0.7, 0.9, 0.4], [0.7, 0.9, 0.9, 0.6]])
    b = torch.tensor([[0.4, 0.6, 0.8, 0.3]])
    interval, p = difference(a, b)
    assert interval.p50 == pytest.approx(float((a - b).mean()))
    assert interval.p20 <= interval.p50 <= interval.p80
    # All four queries are better: of 16 assignments of signs two are as extreme.
    assert p == pytest.approx(2 / 16)
    assert difference(b, b)[1] == 1.0


def test_rows_hold_each_setting_and_can_be_drawn(tmp_path: Path) -> None:
    def measured(recipe: Any, seed: int, value: float, budget: Any = "steps") -> Measured:
        run = Run(recipe, "scifact", seed, budget)
        some = {BASELINE: [0.5, 0.5, 0.5], "pure": [value] * 3, "shared": [value + 0.1] * 3}
        result = {"training": {"steps": 3, "seconds": 2.0}, "weight": 0.2, "depth": 7, "tests": {"test": some}}
        return Measured(run, job_of(run, Plan(), Options()), result)

    found = [measured(LATE, seed, 0.6 + seed / 10) for seed in range(2)] + [measured(PEER, 0, 0.55)]
    rows = rows_of("quality", [*found, measured(LATE, 0, 0.6, "seconds")], threads=2)
    named = {(row.setting, row.provider, row.metric): row for row in rows}
    setting = "scifact test, 3 queries, 46 steps"
    ours = named[setting, LATE.name, f"{PURE}, {INTERVAL}"]
    assert (ours.p50, ours.rounds, ours.unit) == (pytest.approx(0.65), 2, "nDCG")
    assert named[setting, LATE.name, f"{PURE} less {PEER.name}, {INTERVAL}"].p50 == pytest.approx(0.1)
    assert named[setting, LATE.name, f"{PURE} less {BASELINE}, {TEST}"].p50 == 0.25
    assert named[setting, BASELINE, f"{PURE}, {INTERVAL}"].p50 == 0.5
    assert ("scifact test, 3 queries, 300 s of training, 2 threads", LATE.name, f"{PURE}, {INTERVAL}") in named
    told = [line for line in lines(rows) if line.startswith(f"{setting}: {LATE.name}: {PURE} 0.6500")]
    assert len(told) == 1
    assert "+0.1500 to BM25 (p 0.25)" in told[0]
    assert f"+0.1000 to {PEER.name}" in told[0]
    where = environment()
    path = path_for(tmp_path, "quality", where.machine)
    write(path, rows, where)
    assert len(read(path)[0]) == len(rows)
    assert draw_quality(path).stat().st_size > 0


@pytest.mark.slow
def test_a_quick_run(tmp_path: Path, tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "run_worker", lambda module, job, threads: quality_worker.work(job))
    options = ["--quick", "--model", str(tiny_encoder_folder), "--runs", str(tmp_path), "--out", str(tmp_path / "out")]
    wanted = [f"--only={recipe.key}" for recipe in (LATE, CROSS)]
    assert main(["quality", *options, *wanted]) == 0
    rows, _ = read(next((tmp_path / "out").glob("quality_pydoc_steps--*.csv")))
    steps = {row.provider: row.p50 for row in rows if row.metric == "training, steps"}
    assert steps == {LATE.name: 2.0, CROSS.name: 2.0}
    # Trained as the table says, and not done again.
    monkeypatch.setattr(quality, "run_worker", lambda module, job, threads: pytest.fail("it is there already"))
    assert main(["quality", *options, *wanted]) == 0
