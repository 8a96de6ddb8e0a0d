"""``rankgrad fuse``: the run it writes, the measures and explanations it prints, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankgrad.data import read_run

FIRST = "q1 Q0 a 1 3 x\nq1 Q0 b 2 2 x\nq2 Q0 c 1 1 x\n"
SECOND = "q1 Q0 b 1 0.9 y\nq1 Q0 d 2 0.5 y\nq3 Q0 a 1 0.5 y\n"
QRELS = "q1 0 b 1\nq1 0 d 1\nq1 0 unseen 1\nq2 0 c 1\n"
WORDS = ("fuse", "first.txt", "second.txt", "--out", "fused.txt")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("first.txt", FIRST), ("second.txt", SECOND), ("qrels.txt", QRELS)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_fused_run(run: Any, files: Path) -> None:
    outcome = run(*WORDS, "--k", "1")
    assert (outcome.code, outcome.out) == (0, "")
    fused = read_run(files / "fused.txt")
    assert fused == {
        "q1": pytest.approx({"b": 1 / 3 + 1 / 2, "a": 1 / 2, "d": 1 / 3}),
        "q2": pytest.approx({"c": 1 / 2}),
        "q3": pytest.approx({"a": 1 / 2}),
    }
    assert list(fused["q1"]) == ["b", "a", "d"]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--method", "sum", "--weights", "1", "3", "--normalise", "none"), {"b": 2 + 2.7, "a": 3, "d": 1.5}),
        (("--method", "mnz"), {"b": 2, "a": 1, "d": 0}),
        (("--method", "rbc", "--persistence", "0.5"), {"b": 0.75, "a": 0.5, "d": 0.25}),
        (("--method", "borda"), {"b": 2 + 3, "a": 3 + 1, "d": 1 + 2}),
        (("--method", "copeland", "--depth", "1"), {"b": 1}),
    ],
)
def test_methods_and_options(run: Any, files: Path, options: tuple[str, ...], wanted: dict[str, float]) -> None:
    assert run(*WORDS, *options).code == 0
    assert read_run(files / "fused.txt")["q1"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "method", ["isr", "log_isr", "log_n_isr", "condorcet", "median_rank", "max", "dbsf", "learned"]
)
def test_every_method_ranks_every_document(run: Any, files: Path, method: str) -> None:
    assert run(*WORDS, "--method", method, "--qrels", "qrels.txt").code == 0
    fused = read_run(files / "fused.txt")
    assert {query: set(scores) for query, scores in fused.items()} == {"q1": {"a", "b", "d"}, "q2": {"c"}, "q3": {"a"}}


def test_measures_diagnosis_and_explanation(run: Any, files: Path) -> None:
    outcome = run(*WORDS, "--k", "1", "--qrels", "qrels.txt", "--explain", "q1", "--top", "1")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    # q1 holds three relevant documents of which b is first and d third; q2 is found.
    found = next(line.split() for line in lines if line.startswith("fused"))
    assert float(found[2]) == pytest.approx(((1 + 2 / 3) / 3 + 1) / 2, abs=1e-4)
    assert float(found[3]) == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    evaluated = run("evaluate", "--run", "fused.txt", "--qrels", "qrels.txt", "-c", "-m", "map").out.split()
    assert float(evaluated[-1]) == pytest.approx(float(found[2]), abs=1e-4)
    # Of q1 they share b among three; q2 and q3 are in one run each.
    assert "first.txt and second.txt: shared 11%, tau nan, found by one alone 75%" in outcome.out
    assert lines[-3:] == [
        "1. b 0.833333",
        "     +0.333333 first.txt (rank 2, score 2)",
        "     +0.5 second.txt (rank 1, score 0.9)",
    ]


def test_json_says_what_the_lines_say(run: Any, files: Path) -> None:
    outcome = run(*WORDS, "--k", "1", "--qrels", "qrels.txt", "--explain", "q1", "--top", "1", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert (found["out"], found["queries"], found["runs"]) == ("fused.txt", 3, ["first.txt", "second.txt"])
    assert [row["run"] for row in found["measures"]] == ["first.txt", "second.txt", "fused"]
    assert found["measures"][2]["MAP"] == pytest.approx(((1 + 2 / 3) / 3 + 1) / 2)
    assert found["pairs"] == [
        {"runs": ["first.txt", "second.txt"], "shared": pytest.approx(1 / 9), "tau": None, "alone": 0.75}
    ]
    (document,) = found["explanation"]["documents"]
    assert (document["document"], document["score"]) == ("b", pytest.approx(5 / 6))
    assert [(source["run"], source["rank"]) for source in document["sources"]] == [("first.txt", 2), ("second.txt", 1)]
    assert "measures" not in json.loads(run(*WORDS, "--json").out)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("first.txt", "q1 Q0 a 1 nan x\n", (), "score 'nan' is no number"),
        ("first.txt", "q1 Q0 a 1 1 x\nq1 Q0 a 2 1 x\n", (), "listed twice"),
        ("first.txt", "q1 Q0 a 1 inf x\n", ("--method", "sum"), "an infinite one has no place"),
        ("first.txt", FIRST, ("--weights", "0", "0"), "one of them above 0"),
        ("first.txt", FIRST, ("--k", "-5"), "above -1"),
        ("first.txt", FIRST, ("--explain", "q9"), "no run answers this query"),
        ("qrels.txt", "q9 0 a 1\n", ("--qrels", "qrels.txt"), "no query of the runs is judged"),
    ],
)
def test_files_that_cannot_be_used(
    run: Any, files: Path, name: str, content: str, options: tuple[str, ...], message: str
) -> None:
    (files / name).write_text(content)
    outcome = run(*WORDS, *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (files / "fused.txt").exists()
