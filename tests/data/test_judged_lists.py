"""Runs and judgements: streaming, repeated lines, and the tensors made of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.data import _trec_columns, judged_lists, read_qrels, read_run, stream_run
from rankgrad.metrics import NDCG, ndcg

RUN = "q1 Q0 b 1 0.5 x\nq1 Q0 a 2 0.75 x more junk\n# a comment\n\nq2\tQ0\tc\t1\t1e-3\tx\n"
QRELS = "q1 0 a 1\nq1 0 b 0\nq2 0 c -1\nq2 0 d 2\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files are read a few bytes at a time, so that blocks end anywhere."""
    monkeypatch.setattr(_trec_columns, "_BLOCK", 7)
    (tmp_path / "run").write_text(RUN)
    (tmp_path / "qrels").write_text(QRELS)
    return tmp_path


@pytest.mark.parametrize("change", [lambda text: text, lambda text: text.replace("\n", "\r\n"), str.rstrip])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_same_files_in_other_bytes(folder: Path, change: object, packed: bool, mark: bytes) -> None:
    names = ("run.gz", "qrels.gz") if packed else ("run", "qrels")
    for name, text in zip(names, (RUN, QRELS), strict=True):
        content = mark + change(text).encode()  # type: ignore[operator]
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    assert list(stream_run(folder / names[0])) == [("q1", {"b": 0.5, "a": 0.75}), ("q2", {"c": 1e-3})]
    assert list(read_run(folder / names[0])["q1"]) == ["a", "b"]
    assert read_qrels(folder / names[1]) == {"q1": {"a": 1, "b": 0}, "q2": {"c": -1, "d": 2}}


def test_a_query_that_comes_again_is_read_whole_and_not_streamed(folder: Path) -> None:
    (folder / "run").write_text(RUN + "q1 Q0 c 3 0.625 x\n")
    assert read_run(folder / "run")["q1"] == {"a": 0.75, "c": 0.625, "b": 0.5}
    with pytest.raises(InputError, match="query 'q1' comes again after another one: sort the file by query"):
        list(stream_run(folder / "run"))
    (folder / "run").write_text(RUN + "q1 Q0 a 3 0.625 x\n")
    with pytest.raises(InputError, match=r"run:6: document 'a' of query 'q1' is listed twice"):
        read_run(folder / "run")


def test_infinite_scores_are_numbers(folder: Path) -> None:
    (folder / "run").write_text("q Q0 a 1 inf x\nq Q0 b 2 -inf x\n")
    assert read_run(folder / "run") == {"q": {"a": float("inf"), "b": float("-inf")}}


@pytest.mark.parametrize("tail", ["", "q3 0 x 1\n"])
def test_repeated_judgements(folder: Path, tail: str) -> None:
    (folder / "qrels").write_text(QRELS + "q1 0 a 1\n" + tail)
    assert read_qrels(folder / "qrels")["q1"] == {"a": 1, "b": 0}, "the same grade twice is no contradiction"
    (folder / "qrels").write_text(QRELS + "q1 0 a 3\n" + tail)
    with pytest.raises(InputError, match=r"qrels:5: document 'a' of query 'q1' is graded 1 and 3"):
        read_qrels(folder / "qrels")
    assert read_qrels(folder / "qrels", repeated="last")["q1"] == {"a": 3, "b": 0}
    (folder / "qrels").write_text(QRELS + "q1 0 a 3\nq1 0 b x\n")
    with pytest.raises(InputError, match=r"qrels:6: grade 'x' is no integer"):
        read_qrels(folder / "qrels", repeated="last")
    with pytest.raises(InputError, match='repeated: expected "error" or "last"'):
        read_qrels(folder / "qrels", repeated="first")  # type: ignore[arg-type]


def test_tensors() -> None:
    run = {"q1": {"a": 0.5, "c": 0.5, "b": 0.25}, "q2": {"d": 1.0}, "q9": {"a": 1.0}}
    qrels = {"q1": {"a": 2, "b": -1, "x": 1}, "q2": {"d": 0}, "q3": {"a": 1}}
    lists = next(judged_lists(run, qrels, complete=True))
    assert lists.queries == ("q1", "q2", "q3")
    assert lists.labels.tolist() == [[2, -1, -2], [0, -1, -1], [-1, -1, -1]]
    assert lists.mask.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert lists.tie_order is not None
    assert lists.tie_order[0].tolist() == [0, 2, 1]
    assert lists.judged.tolist() == [[2, -2, 1], [0, -1, -1], [1, -1, -1]]
    best = next(judged_lists(run, qrels, depth=1))
    assert best.labels.tolist() == [[-1], [0]], "of equal scores the greatest id is the best"
    known = next(judged_lists(run, qrels, only_judged=True))
    assert known.labels.tolist() == [[2], [0]]
    with pytest.raises(InputError, match="depth: expected at least 1, got 0"):
        next(judged_lists(run, qrels, depth=0))


names = st.text("abcd", min_size=1, max_size=2)
runs = st.dictionaries(names, st.dictionaries(names, st.integers(0, 3).map(float), max_size=6), max_size=6)
graded = st.dictionaries(names, st.dictionaries(names, st.integers(0, 2), max_size=5), max_size=6)


@settings(deadline=None, max_examples=50)
@given(runs, graded)
def test_parts_together_are_the_run_by_definition(run: dict, qrels: dict) -> None:
    metric = NDCG(k=3, ties="trec")
    found = {}
    for part in judged_lists(run, qrels, items=4):
        ties = torch.zeros_like(part.mask, dtype=torch.long) if part.tie_order is None else part.tie_order
        values = metric(part.scores, part.labels, part.mask, judged=part.judged, tie_order=ties)
        found.update(zip(part.queries, values.tolist(), strict=True))
    assert found.keys() == run.keys() & qrels.keys()
    for query, value in found.items():
        ordered = sorted(run[query], key=lambda name: (run[query][name], name), reverse=True)
        labels = torch.tensor([qrels[query].get(name, 0) for name in ordered])
        judged = torch.tensor(list(qrels[query].values()))
        places = -torch.arange(len(ordered)).double()
        assert_close(torch.tensor(value).double(), ndcg(places, labels, k=3, judged=judged))
