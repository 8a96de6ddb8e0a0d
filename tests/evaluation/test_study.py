"""Several collections: a report each, means over all, one correction for the whole study."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from rankgrad._checks import InputError
from rankgrad.data import Task
from rankgrad.data.trec import read_run
from rankgrad.evaluation import AnswerCache, Report, Study, StudyReport
from rankgrad.metrics import NDCG, ReciprocalRank, holm_correction
from rankgrad.types import Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]
METRICS = (ReciprocalRank(k=10), NDCG(k=10))


@pytest.fixture
def tasks(task: Task) -> list[Task]:
    return [task, replace(task.sample(4), name="small/test")]


@pytest.fixture
def build(answer: Answer) -> Callable[[Task], Mapping[str, Callable[[Queries], Ranking]]]:
    def systems(task: Task) -> Mapping[str, Callable[[Queries], Ranking]]:
        # The second is right on one collection only.
        shift = 0 if task.name == "toy/test" else 4
        return {
            "base": answer(lambda i: [(i + 3) % 9, i]),
            "best": answer(lambda i: [(i + shift) % 9, i]),
            "worse": answer(lambda i: [(i + 3) % 9, (i + 4) % 9, i]),
        }

    return systems


@pytest.fixture
def report(build: Callable, tasks: list[Task]) -> StudyReport:
    return Study(build, tasks, metrics=METRICS, baseline="base").run(progress=False)


def test_every_collection_has_its_report_and_counts_alike(report: StudyReport) -> None:
    assert report.collections == ("toy/test", "small/test")
    assert report.systems == ("base", "best", "worse")
    assert [len(each.queries) for each in report.reports] == [8, 4]
    assert report.means("best", "MRR@10") == (1.0, 0.5)
    assert report.mean("best", "MRR@10") == 0.75
    assert report.mean("worse", "MRR@10") == pytest.approx(1 / 3)


def test_p_values_are_corrected_for_the_whole_study(report: StudyReport) -> None:
    pairs = [(system, each.collection) for each in report.reports for system in ("best", "worse")]
    alone = [
        comparison.randomization_p
        for each in report.reports
        for system in ("best", "worse")
        if (comparison := each.comparison(system, "MRR@10")) is not None
    ]
    expected = dict(zip(pairs, holm_correction(alone), strict=True))  # type: ignore[arg-type]
    assert {pair: report.corrected_p(*pair) for pair in pairs} == expected
    assert report.corrected_p("base", "toy/test") is None
    # All eight queries differ: 2 of 2^8 sign patterns are as extreme, twice over four comparisons.
    assert report.corrected_p("best", "toy/test") == pytest.approx(4 * 2 / 2**8, abs=0.01)


def test_the_table_shows_collections_means_and_stars(report: StudyReport) -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(report.table())
    lines = console.export_text().splitlines()
    text = " ".join(" ".join(lines).split())
    assert "3 systems on 2 collections" in text
    assert "Holm-corrected over 4 comparisons of systems and collections" in text
    (row,) = [line.split() for line in lines if line.strip().startswith("best")]
    assert row[:4] == ["best", "1.0000*", "0.5000", "0.7500"]


@pytest.mark.usefixtures("no_drawing")
def test_a_study_on_disk(report: StudyReport, tmp_path: Path) -> None:
    report.write(tmp_path / "out")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    own = {"report.json", "report.html", "comparison.png", "differences.png", "trade_off.png"}
    runs = {f"runs/{system}.trec" for system in report.systems}
    folders = ("collections/toy-test", "collections/small-test")
    assert names == {"study.json", "report.html", *(f"{folder}/{name}" for folder in folders for name in own | runs)}
    assert Report.from_json(tmp_path / "out" / folders[1]) == report.reports[1]
    assert read_run(tmp_path / "out" / folders[1] / "runs" / "best.trec") == report.reports[1].runs["best"]
    content = json.loads((tmp_path / "out" / "study.json").read_text())
    assert content == json.loads(json.dumps(report.to_dict()))
    assert content["means_over_collections"]["best"]["MRR@10"] == 0.75
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert page.count("<h2>") == 2
    report.save_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        report.write(tmp_path / "other")


def test_a_study_keeps_its_answers(build: Callable, tasks: list[Task], tmp_path: Path) -> None:
    options = {"baseline": "base", "cache": AnswerCache(tmp_path), "settings": {"best": 1, "base": 0}}
    Study(build, tasks, **options).run(progress=False)
    assert len(list(tmp_path.iterdir())) == 4
    again = Study(build, tasks, **options).run(progress=False)
    assert [system.kept for each in again.reports for system in each.systems] == [True, True, False] * 2


def test_bad_input(build: Callable, tasks: list[Task]) -> None:
    with pytest.raises(InputError, match="no tasks given"):
        Study(build, [], baseline="base")
    with pytest.raises(InputError, match="task 'toy/test' occurs twice"):
        Study(build, tasks[:1] * 2, baseline="base")

    def different(task: Task) -> Mapping[str, Callable[[Queries], Ranking]]:
        return {name: system for name, system in build(task).items() if name != "worse" or task.name == "toy/test"}

    with pytest.raises(InputError, match=r"small/test has the systems .* build the same ones"):
        Study(different, tasks, baseline="base").run(progress=False)
