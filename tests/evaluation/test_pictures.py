"""The pictures say what the report says; the page holds all of it and nothing that runs."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from rankgrad._checks import InputError
from rankgrad.data import Task
from rankgrad.evaluation import Experiment, Report, difference_figure, trade_off_figure
from rankgrad.evaluation.trade_off_plot import unbeaten
from rankgrad.types import Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]
HOSTILE = '<script>alert(1)</script> "$x" &'


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}


@pytest.fixture
def report(task: Task, answer: Answer) -> Report:
    systems = {
        "BM25": answer(lambda i: [(i + 3) % 9, i]),
        "mixed": answer(lambda i: [i] if i < 5 else [(i + 3) % 9, i] if i < 6 else [(i + 4) % 9]),
        HOSTILE: answer(lambda i: [(i + 4) % 9]),
    }
    return Experiment(systems, task, baseline="BM25").run(progress=False)


def test_differences_are_sorted_and_counted(report: Report, settings: dict[str, object]) -> None:
    figure = difference_figure(report)
    figure.savefig(io.BytesIO())
    mixed, hostile = figure.axes
    assert mixed.get_title(loc="left") == "mixed: 5 better, 2 worse, 1 alike"
    assert hostile.get_title(loc="left") == f"{HOSTILE}: 0 better, 8 worse, 0 alike"
    values = {system.name: np.array(system.values["nDCG@10"]) for system in report.systems}
    drawn = sum(patch.get_data().values for patch in mixed.patches)
    assert drawn == pytest.approx(np.sort(values["mixed"] - values["BM25"])[::-1])
    other = difference_figure(report, metric="MRR@10").axes[0]
    assert max(patch.get_data().values.max() for patch in other.patches) == 0.5
    assert {name: mpl.rcParams[name] for name in settings} == settings
    with pytest.raises(InputError, match="metric='MAP' was not measured: choose one of nDCG@10"):
        difference_figure(report, metric="MAP")


def test_one_system_has_nothing_to_differ_from(task: Task, answer: Answer, tmp_path: Path) -> None:
    alone = Experiment({"only": answer(lambda i: [i])}, task, baseline="only").run(progress=False)
    with pytest.raises(InputError, match="the baseline alone"):
        difference_figure(alone)
    alone.write(tmp_path / "out")
    assert not (tmp_path / "out" / "differences.png").exists()
    assert "Queries that change most" not in (tmp_path / "out" / "report.html").read_text()


def test_quality_stands_against_time(report: Report) -> None:
    axes = trade_off_figure(report).axes[0]
    dots = [container.lines[0].get_xydata()[0].tolist() for container in axes.containers]
    expected = [[system.latency()["p50"], system.mean("nDCG@10")] for system in report.systems]
    assert dots == [pytest.approx(point) for point in expected]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.texts] == [system.name for system in report.systems]
    # The line joins what nothing else beats.
    line = axes.lines[0].get_xydata().tolist()
    for time, mean in expected:
        beaten = any(x <= time and y >= mean and (x, y) != (time, mean) for x, y in expected)
        assert ([time, mean] in line) != beaten


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1.0, 0.1)], [0]),
        ([(1.0, 0.1), (1.0, 0.2), (1.0, 0.2)], [1]),
        ([(3.0, 0.3), (2.0, 0.2), (1.0, 0.1)], [2, 1, 0]),
        ([(1.0, 0.3), (2.0, 0.2)], [0]),
    ],
)
def test_unbeaten(points: list[tuple[float, float]], expected: list[int]) -> None:
    assert unbeaten(points) == expected


class Reader(HTMLParser):
    """Tags, pictures and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_page_holds_everything_and_runs_nothing(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sub" / "report.html"
    report.save_html(path)
    page = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert not {*reader.tags} & {"script", "link", "iframe"}
    prefix = "data:image/png;base64,"
    assert len(reader.sources) == 3
    assert all(b64decode(source.removeprefix(prefix), validate=True)[:4] == b"\x89PNG" for source in reader.sources)
    assert HOSTILE in reader.texts
    text = " ".join(reader.texts)
    for system in report.systems:
        for metric in report.metrics:
            assert f"{system.mean(metric):.4f}" in text
    comparison = report.comparison("mixed", "nDCG@10")
    assert comparison is not None
    assert f"{comparison.difference:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]" in text
    # Of the queries that change most, those that gain and those that lose.
    assert [reader.texts.count(f"q{number}") for number in range(8)] == [1, 1, 1, 2, 2, 1, 2, 2]

    def fail(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("rankgrad.evaluation.page.report_page", fail)
    with pytest.raises(OSError, match="no space left"):
        report.save_html(path)
    assert path.read_text(encoding="utf-8") == page
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
