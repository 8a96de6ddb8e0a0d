"""``rankgrad mine`` from the command line to files that training reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankgrad.data import read_lists, read_triples, write_run


def test_bm25_negatives_of_a_folder(run: Any, folders: Any, tmp_path: Path) -> None:
    more = {"d6": "read a date from a file", "d7": "open a file to write", "d8": "sort the keys of a dictionary"}
    rows = "".join(json.dumps({"_id": name, "title": "", "text": text}) + "\n" for name, text in more.items())
    corpus = folders.damaged("beir", tmp_path / "beir", lambda folder: None) / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + rows)
    words = ("mine", "--data", "beir", "--split", "test", "--out", "mined", "--negatives", 2)
    outcome = run(*words, "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.out)
    lists = list(read_lists(tmp_path / "mined/lists.jsonl"))
    assert shown["queries"] == 3
    assert {one.query: set(one.documents[1:]) for one in lists} == {
        "read a file": {more["d6"], more["d7"]},
        "sort dictionary values": {more["d8"]},
    }
    assert (shown["enough"], shown["too_few"], shown["without"], shown["negatives"]) == (1, 1, 1, 3)
    assert all(one.labels == (1.0, *(0.0,) * (len(one.documents) - 1)) for one in lists)
    assert shown["triples"] == len(list(read_triples(tmp_path / "mined/triples.jsonl")))
    before = (tmp_path / "mined/lists.jsonl").stat().st_mtime_ns
    again = run(*words)
    assert "with 2 negatives" in again.out
    assert (tmp_path / "mined/lists.jsonl").stat().st_mtime_ns == before
    refused = run(*words[:-1], 3)
    assert (refused.code, refused.out) == (2, "")
    assert "mined was mined with another negatives" in refused.err
    assert run(*words[:-1], 3, "--overwrite").code == 0


def test_into_the_working_directory(run: Any, folders: Any, tmp_path: Path) -> None:
    documents = [f"d{number}" for number in range(1, 6)]
    write_run(tmp_path.parent / "any.run", {f"q{place}": dict.fromkeys(documents, 1.0) for place in (1, 2, 3)})
    outcome = run("mine", "--data", folders.beir, "--split", "test", "--out", ".", "--run", "../any.run")
    assert outcome.code == 0, outcome.err
    assert len(list(read_lists(tmp_path / "lists.jsonl"))) == 3


@pytest.mark.parametrize("teacher", ["cross_encoder", "colbert_bundle"])
def test_a_run_reordered_by_a_model_and_scored_by_a_teacher(
    run: Any, folders: Any, tmp_path: Path, teacher: str
) -> None:
    documents = [f"d{number}" for number in range(1, 6)]
    write_run(tmp_path / "run", {f"q{place}": dict.fromkeys(documents, 1.0) for place in (1, 2, 3)})
    outcome = run(
        *("mine", "--data", folders.beir, "--split", "test", "--out", "mined", "--run", "run", "--queries", 2),
        *("--model", folders.colbert, "--teacher", getattr(folders, teacher), "--sampling", "random"),
        *("--denoiser", folders.cross_encoder_bundle, "--denoise-above", 1e9, "--negatives", 2, "--json"),
    )
    assert outcome.code == 0, outcome.err
    lists = list(read_lists(tmp_path / "mined/lists.jsonl"))
    assert [len(one.documents) for one in lists] == [3, 3]
    assert all(len(set(one.teacher_scores or ())) == 3 for one in lists)


def test_another_collection_is_another_mining(run: Any, folders: Any, tmp_path: Path) -> None:
    folders.damaged("beir", tmp_path / "beir", lambda folder: None)
    with (tmp_path / "beir" / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"_id": "d6", "title": "", "text": "read a date from a file"}) + "\n")
    words = ("mine", "--data", "beir", "--split", "test", "--out", "mined", "--json")
    first = run(*words)
    assert first.code == 0, first.err
    assert run(*words) == first
    for file, old, new in (
        ("corpus.jsonl", "several strings", "many strings"),
        ("queries.jsonl", "read a file", "read files"),
        ("qrels/test.tsv", "q1\td1\t1", "q1\td1\t2"),
    ):
        path = tmp_path / "beir" / file
        content = path.read_text()
        assert old in content
        path.write_text(content.replace(old, new))
        assert "mined was mined with another collection" in run(*words).err
        path.write_text(content)
