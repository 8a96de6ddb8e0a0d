"""``rankgrad export --variants``: the graphs asked for, measured on the user's texts and judged lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import DOCUMENTS, QUERIES

GRAPHS = ["fp32", "int8-static", "fp16"]
TEXTS = ({"query": query, "documents": [*DOCUMENTS.values()][:3], "labels": [0, 1, 0]} for query in QUERIES.values())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "lists.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in TEXTS))
    return path


def test_variants_are_written_measured_and_run(run: Any, folders: Any, texts: Path, tmp_path: Path) -> None:
    outcome = run(
        *("export", folders.cross_encoder, "--out", "bundle", "--variants", "fp16,int8-static"),
        *("--texts", texts, "--data", folders.beir, "--depth", "3", "--ndcg-tolerance", "-101"),
    )
    assert (outcome.code, outcome.out) == (0, "")
    *unfit, wrote = outcome.err.splitlines()
    assert wrote == "rankgrad: wrote bundle"
    assert [line.split(" is unfit")[0] for line in unfit] == [f"rankgrad: {name}" for name in GRAPHS]
    content = json.loads((tmp_path / "bundle" / "rankgrad.json").read_text())
    assert list(content["graphs"]) == GRAPHS
    assert (content["parity"]["lists"], content["parity"]["documents"]) == (3, 9)
    # Each query shares a word with one document.
    assert (content["quality"]["queries"], content["quality"]["documents"]) == (3, 3)
    request = ("rerank", "--model", "bundle", "--json", "read a file", *DOCUMENTS.values())
    scores = {name: _scores(run(*request, "--variant", name)) for name in GRAPHS}
    for name in GRAPHS[1:]:
        difference = max(abs(scores[name][each] - score) for each, score in scores["fp32"].items())
        assert 0 < difference < (0.01 if name == "fp16" else 0.5)
    assert run(*request, "--variant", "int4").code == 2


def _scores(outcome: Any) -> dict[str, float]:
    return {row["document"]: row["score"] for row in json.loads(outcome.out)["results"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--variants", "int8,int5"), "'int5' is no variant: choose from fp32, int8"),
        (("--variants", "int8-static"), "int8-static takes its ranges from texts"),
        (("--texts", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--texts", "empty.jsonl"), "empty.jsonl: the file is empty"),
        (("--texts", "other.jsonl"), "other.jsonl:1: field 'documents' must be a list"),
        (("--data", "nowhere"), "nowhere is no folder"),
    ],
)
def test_what_cannot_be_measured_on(
    run: Any, folders: Any, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "other.jsonl").write_text('{"query": "a"}\n')
    outcome = run("export", folders.colbert, "--out", "new", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "new").exists()
