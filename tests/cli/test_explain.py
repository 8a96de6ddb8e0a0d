"""``--explain``: marks and matches beside the ranking, which stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rankgrad.models import ColBERT
from rankgrad.rerank import explain

TEXTS = ["open a file and read its lines", "sort a list by key"]
QUERY = "read a file"


@pytest.mark.parametrize("kind", ["colbert", "colbert_bundle"])
def test_rerank_adds_matches_to_json(kind: str, run: Any, folders: Any) -> None:
    words = ("rerank", "--model", getattr(folders, kind), "--json", QUERY, *TEXTS)
    plain, outcome = run(*words), run(*words, "--explain")
    assert (outcome.code, outcome.err) == (0, "")
    results = json.loads(outcome.out)["results"]
    added = {"snippet", "late_interaction_score", "matches"}
    assert [{key: value for key, value in row.items() if key not in added} for row in results] == json.loads(plain.out)[
        "results"
    ]
    expected = {one.document: one for one in explain(ColBERT.from_pretrained(folders.colbert), QUERY, TEXTS)}
    for row in results:
        assert row["late_interaction_score"] == pytest.approx(row["score"], abs=1e-5)
        assert sum(match["similarity"] for match in row["matches"]) == pytest.approx(row["score"], abs=1e-4)
        assert row["score"] == pytest.approx(expected[row["text"]].score, abs=1e-3)
        for match, ours in zip(row["matches"], expected[row["text"]].matches, strict=True):
            assert match["document_span"] == (list(ours.document.span) if ours.document.span else None)
            if match["document_span"]:
                assert row["text"][slice(*match["document_span"])] == match["document_token"]


def test_search_explains_by_the_last_colbert(run: Any, folders: Any) -> None:
    models = ("--model", folders.colbert_bundle, "--model", folders.cross_encoder)
    words = ("search", "--data", folders.beir, "read the file", "-k", 1, "--explain", *models)
    outcome = run(*words)
    assert (outcome.code, outcome.err) == (0, "")
    line, answers = outcome.out.splitlines()
    assert line.split()[0] == "1"
    assert line.replace("*", "").endswith("open a file and read its lines")
    assert "*" in line
    assert answers.split("→")[0].strip() == "read"
    (row,) = json.loads(run(*words, "--json").out)["results"]
    assert row["snippet"] == row["text"]
    assert row["matches"][1]["query_token"] == "read"


def test_a_terminal_gets_colours_unless_it_asks_for_none(
    run: Any, folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankgrad.cli._explain.is_terminal", lambda: True)
    monkeypatch.setattr("rankgrad.cli._explain.find_spec", lambda _: None)
    words = ("rerank", "--model", folders.colbert_bundle, "--explain", QUERY, *TEXTS)
    assert "\x1b[30;48;5;" in run(*words).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(*words).out
    monkeypatch.undo()
    monkeypatch.setattr("rankgrad.cli._explain.is_terminal", lambda: True)
    assert "what was found" in run(*words).out.splitlines()[0]


@pytest.mark.parametrize("words", [("rerank", "--model", "cross_encoder"), ("search", "--data", "beir")])
def test_only_a_colbert_has_parts(words: tuple[str, ...], run: Any, folders: Any) -> None:
    given = [getattr(folders, word, word) for word in words]
    outcome = run(*given, "--explain", QUERY, *(TEXTS if words[0] == "rerank" else ()))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("rankgrad: error: --explain takes the score of a ColBERT apart")


def test_nothing_found_is_explained_by_nothing(run: Any, folders: Any) -> None:
    outcome = run("search", "--data", folders.beir, "--model", folders.colbert, "quokka", "--explain", "--json")
    assert json.loads(outcome.out)["results"] == []
