"""``rankgrad evaluate --run``: trec_eval's own test files line by line, other output, and what cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).resolve().parents[2] / "../shared/data/eval_trec_eval/test"
LEFT_OUT = {"relstring", "relstring_20", "utility", "utility_2,-1,0,0", "binG", "G", "ndcg_rel", "Rndcg"}
ALL = ["-m", "all_trec", "-q"]
PARAMETERS = [
    "-q",
    "-miprec_at_recall..10,.20,.25,.75,.50",
    *("-mP.5,7,3", "-mrecall.20,2000", "-mRprec_mult.5.0,0.2,0.35", "-m11pt_avg..25,.5,.75"),
    *("-mndcg.1=3,2=9,4=4.5", "-mndcg_cut.10,20,23.4", "-msuccess.2,5,20"),
]
RUN = "q1 Q0 b 1 0.5 x\nq1 Q0 a 2 0.5 x\nq1 Q0 c 3 0.25 x\nq3 Q0 a 1 1 x\n"
QRELS = "q1 0 a 1\nq1 0 d 2\nq2 0 a 1\n"
FILLED = ("--run", "run", "--qrels", "qrels")


def shown(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.split()[0] not in LEFT_OUT]


@pytest.mark.skipif(not FILES.is_dir(), reason=f"trec_eval's test files are not at {FILES}")
@pytest.mark.parametrize(
    ("expected", "run_file", "qrels_file", "options"),
    [
        ("out.test", "results.test", "qrels.test", []),
        ("out.test", "results.test", "qrels.test.with-comments", []),
        ("out.test.a", "results.test", "qrels.test", ALL[:2]),
        ("out.test.aq", "results.test", "qrels.test", ALL),
        ("out.test.aqc", "results.trunc", "qrels.test", [*ALL, "-c"]),
        ("out.test.aqcM", "results.trunc", "qrels.test", [*ALL, "-c", "-M100"]),
        ("out.test.aql", "results.test", "qrels.rel_level", [*ALL, "-l2"]),
        ("out.test.meas_params", "results.test", "qrels.test", PARAMETERS),
    ],
)
def test_every_line_is_trec_evals(run: Any, expected: str, run_file: str, qrels_file: str, options: list[str]) -> None:
    outcome = run("evaluate", "--run", FILES / run_file, "--qrels", FILES / qrels_file, *options)
    assert (outcome.code, outcome.err) == (0, "")
    lines = shown((FILES / expected).read_text())
    # Of measures with several options trec_eval keeps its own order of names.
    assert sorted(outcome.out.splitlines()) == sorted(lines)
    assert len(lines) >= 30


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "run").write_text(RUN)
    (tmp_path / "qrels").write_text(QRELS)
    return tmp_path


def test_of_equal_scores_the_greatest_id_is_first_and_unjudged_queries_are_left_out(run: Any, files: Path) -> None:
    outcome = run("evaluate", *FILLED, "-m", "recip_rank", "num_q", "-q")
    assert outcome.out == (
        "recip_rank            \tq1\t0.5000\nrecip_rank            \tall\t0.5000\nnum_q                 \tall\t1\n"
    )


def test_complete_averages_over_all_judged_queries(run: Any, files: Path) -> None:
    outcome = run("evaluate", *FILLED, "-c", "--json", "-q", "--metrics", "MRR@10", "recall.5")
    assert json.loads(outcome.out) == {
        "run": "x",
        "queries": 2,
        "measures": {"MRR@10": 0.25, "recall_5": 0.25},
        "per_query": {"q1": {"MRR@10": 0.5, "recall_5": 0.5}, "q2": {"MRR@10": 0.0, "recall_5": 0.0}},
    }


def test_depth_cuts_after_ties_and_unjudged_documents_may_be_left_out(run: Any, files: Path) -> None:
    assert "\tall\t0.0000" in run("evaluate", *FILLED, "-m", "map", "-M", 1).out
    assert "\tall\t1.0000" in run("evaluate", *FILLED, "-m", "recip_rank", "-J").out


def test_a_table_and_a_packed_run_whose_queries_are_scattered(run: Any, files: Path) -> None:
    lines = RUN.splitlines(keepends=True)
    (files / "run.gz").write_bytes(gzip.compress("".join([lines[0], lines[3], *lines[1:3]]).encode()))
    outcome = run("evaluate", "--run", "run.gz", "--qrels", "qrels", "--table", "-q", "-m", "P@2", "nDCG(exp2)@10")
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["query", "P@2", "nDCG(exp2)@10"],
        ["q1", "0.5000", "0.1738"],
        ["all", "0.5000", "0.1738"],
    ]


@pytest.mark.parametrize(
    ("words", "changes", "message"),
    [
        (("--run", "run"), {}, "--run and --qrels belong together"),
        ((*FILLED, "--data", "pydoc"), {}, "without --data"),
        ((), {}, "nothing to measure: give --data, or --run and --qrels"),
        (("--run", "nowhere", "--qrels", "qrels"), {}, "nowhere: No such file"),
        ((*FILLED, "-m", "mapp"), {}, "measure 'mapp': unknown; take one of 11pt_avg"),
        ((*FILLED, "-m", "P@0"), {}, "measure 'P@0': expected a cut-off of at least 1"),
        ((*FILLED, "-m", "P.a"), {}, "measure 'P.a': could not convert"),
        ((*FILLED, "-m", "P.inf"), {}, "measure 'P.inf': expected a finite number"),
        ((*FILLED, "-m", "P.1e30"), {}, "measure 'P.1e30': expected a cut-off of at least 1"),
        ((*FILLED, "-m", "set_F.-1"), {}, "beta: expected a number above 0"),
        ((*FILLED, "-m", "ndcg.1"), {}, "a gain is linear, exp2, or pairs"),
        ((*FILLED, "-l", "0"), {}, "expected a whole number of at least 1, got '0'"),
        (FILLED, {"qrels": QRELS + "q1 0 a 2\n"}, "qrels:4: document 'a' of query 'q1' is graded 1 and 2"),
        (FILLED, {"run": RUN + "q1 Q0 b 9 0.1 x\n"}, "run:5: document 'b' of query 'q1' is listed twice"),
        (FILLED, {"run": RUN + "q4 Q0 b 9 high x\n"}, "run:5: score 'high' is no number"),
        (FILLED, {"run": RUN + "q4 Q0 b 9 1\n"}, "run:5: expected 6 columns"),
        (FILLED, {"qrels": "q1 0 a 1 2\n"}, "qrels:1: expected 4 columns"),
        (FILLED, {"qrels": "q7 0 a 1\n"}, "no query of run is judged in qrels"),
        (FILLED, {"run": ""}, "run: the file is empty"),
    ],
)
def test_what_cannot_be_used_is_named(
    run: Any, files: Path, words: tuple[str, ...], changes: dict[str, str], message: str
) -> None:
    for name, text in changes.items():
        (files / name).write_text(text)
    outcome = run("evaluate", *words)
    assert outcome.err.startswith("rankgrad: error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert (outcome.code, outcome.out) == (2, "")


def test_the_last_of_repeated_judgements_may_win(run: Any, files: Path) -> None:
    (files / "qrels").write_text(QRELS + "q1 0 a 0\n")
    outcome = run("evaluate", *FILLED, "--repeated", "last", "-m", "num_rel")
    assert outcome.out == "num_rel               \tall\t1\n"
