"""What a report shows and writes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from rich.console import Console

from rankgrad._checks import InputError
from rankgrad.data import Task
from rankgrad.data.trec import read_run
from rankgrad.evaluation import Experiment, Report
from rankgrad.evaluation.plot import comparison_figure
from rankgrad.types import Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]


@pytest.fixture
def report(task: Task, answer: Answer) -> Report:
    systems = {
        "BM25": answer(lambda i: [(i + 3) % 9, i]),
        "BM25 > ColBERT": answer(lambda i: [i, (i + 3) % 9]),
        "bm25 -> colbert": answer(lambda i: [(i + 3) % 9, (i + 4) % 9]),
        "[red]": answer(lambda i: [i + 1, i]),
    }
    return Experiment(systems, task, baseline="BM25").run(progress=False)


def text_of(report: Report, width: int) -> str:
    console = Console(width=width, record=True, force_terminal=False, file=io.StringIO())
    console.print(report.table())
    return console.export_text()


def test_the_table_says_what_was_measured_on_what(report: Report) -> None:
    text = " ".join(text_of(report, 160).split())
    for part in ("toy/test: 8 queries, 9 documents", "nDCG@10", "MRR@10", "recall@100", "[red]", "baseline"):
        assert part in text
    assert "Holm-corrected over 3 systems" in text
    assert "one query at a time, warm, all stages included" in text
    row = next(line for line in text_of(report, 160).splitlines() if "BM25 > ColBERT" in line)
    comparison = report.comparison("BM25 > ColBERT", "nDCG@10")
    assert comparison is not None
    assert f"{comparison.difference:+.3f}" in row
    assert f"{report.systems[1].mean('nDCG@10'):.4f}" in row


def test_the_table_fits_a_terminal(report: Report) -> None:
    lines = text_of(report, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)


@pytest.mark.usefixtures("no_drawing")
def test_json_there_and_back(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path / "out")
    again = Report.from_json(tmp_path / "out" / "report.json")
    assert again == report
    assert again == Report.from_json(tmp_path / "out")
    assert again.to_dict() == report.to_dict() == json.loads(json.dumps(report.to_dict()))
    assert report.to_dict()["systems"][1]["means"]["MRR@10"] == 1.0


@pytest.mark.usefixtures("no_drawing")
def test_a_folder_holds_json_a_page_runs_and_pictures(report: Report, tmp_path: Path) -> None:
    for _ in range(2):
        report.write(tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    runs = ["runs/BM25-ColBERT.trec", "runs/BM25.trec", "runs/bm25-colbert-2.trec", "runs/red.trec"]
    pictures = ["comparison.png", "differences.png", "trade_off.png"]
    assert names == sorted([*pictures, "report.html", "report.json", *runs])
    assert read_run(tmp_path / "out" / "runs" / "bm25-colbert-2.trec") == report.runs["bm25 -> colbert"]
    assert all((tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_writing_never_replaces_a_folder_of_other_things(report: Report, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files"):
        report.write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("no_drawing")
def test_a_failed_write_leaves_the_old_report(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write(tmp_path / "out")
    before = (tmp_path / "out" / "report.json").read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("rankgrad.evaluation.report.write_run", fail)
    with pytest.raises(OSError, match="no space left"):
        report.write(tmp_path / "out")
    assert (tmp_path / "out" / "report.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_picture_shows_every_system_and_touches_nothing_global(report: Report) -> None:
    def settings() -> list[object]:
        # Reading the backend's own entry would choose one.
        values = [(name, mpl.rcParams[name]) for name in mpl.rcParams if name != "backend"]
        return [mpl.get_backend(auto_select=False), *values]

    before = settings()
    figure = comparison_figure(report)
    figure.savefig(io.BytesIO())
    assert settings() == before
    quality, speed = figure.axes
    figure.draw_without_rendering()
    assert [label.get_text() for label in quality.get_yticklabels()] == [system.name for system in report.systems]
    assert speed.get_xscale() == "log"
    means = [container.lines[0].get_xdata()[0] for container in quality.containers]
    assert means == pytest.approx([system.mean("nDCG@10") for system in report.systems])
    medians = [container.lines[0].get_xdata()[0] for container in speed.containers]
    assert medians == pytest.approx([system.latency()["p50"] for system in report.systems])
    assert "nDCG@10" in quality.get_xlabel()
    assert "log scale" in speed.get_xlabel()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n "format_version": 1,\n', "report.json:3: "),
        ("[]", "no report of format version 1"),
        ('{"format_version": 9}', "no report of format version 1"),
        ('{"format_version": 1, "systems": [{}]}', "incomplete report"),
    ],
)
def test_damaged_json(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(InputError, match=message):
        Report.from_json(tmp_path)


def test_a_missing_report_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Report.from_json(tmp_path / "report.json")
