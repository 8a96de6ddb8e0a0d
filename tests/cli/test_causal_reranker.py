"""A causal reranker, trained or exported, is a ranker like any other to the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankgrad.data import read_lists, write_run
from rankgrad.export import export_bundle
from rankgrad.models import CausalReranker
from rankgrad.prompts import PromptTemplate

QUERY = "read a file"
TEXTS = ["open a file and read its lines", "join several strings", "sort a list by key"]


@pytest.fixture(scope="module")
def places(tiny_decoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained folder and its bundle."""
    root = tmp_path_factory.mktemp("causal")
    template = PromptTemplate(before="", body="{query} {document}", after=" yes or no", instruction="")
    model = CausalReranker.from_pretrained(
        tiny_decoder_folder, template=template, layers=1, max_length=64, query_length=16
    )
    model.save_pretrained(root / "model")
    export_bundle(model, root / "bundle", variants=("fp32",))
    return {"model": root / "model", "bundle": root / "bundle"}


@pytest.mark.parametrize("kind", ["model", "bundle"])
def test_rerank_search_and_index(run: Any, folders: Any, places: dict[str, Path], kind: str) -> None:
    outcome = run("rerank", "--model", places[kind], "--json", QUERY, *TEXTS)
    assert (outcome.code, outcome.err) == (0, "")
    own = CausalReranker.from_pretrained(places["model"]).score([QUERY] * len(TEXTS), TEXTS).tolist()
    found = {int(row["document"]) - 1: row["score"] for row in json.loads(outcome.out)["results"]}
    assert found == pytest.approx(dict(enumerate(own)), abs=1e-3)
    searched = run("search", "--data", folders.beir, "--model", places[kind], "--json", QUERY)
    assert searched.code == 0, searched.err
    assert {row["id"] for row in json.loads(searched.out)["results"]} >= {"d1"}
    long = run("rerank", "--model", places[kind], QUERY, "a file", "sort values " * 500)
    assert "document 2 (" in long.err
    refused = run("index", places[kind], "--corpus", folders.beir, "--out", "index")
    assert refused.code == 2
    assert "holds a causal reranker, which has no token embeddings to index" in refused.err


def test_evaluate_and_experiments(run: Any, folders: Any, places: dict[str, Path], tmp_path: Path) -> None:
    models = ("--model", places["model"], "--model", places["bundle"])
    outcome = run("evaluate", "--data", folders.beir, *models, "--cross-encoder-depth", 5, "--depth", 5, "--json")
    assert outcome.code == 0, outcome.err
    systems = {system["name"]: system["values"] for system in json.loads(outcome.out)["systems"]}
    assert list(systems) == ["BM25", "BM25 > model", "BM25 > bundle fp32"]
    assert systems["BM25 > model"] == systems["BM25 > bundle fp32"]
    content = {
        "collections": [{"data": str(folders.beir)}],
        "systems": {"causal": {"rerank": [{"model": str(places["model"]), "depth": 5}]}},
        "depth": 5,
    }
    (tmp_path / "a.yaml").write_text(json.dumps(content))
    study = json.loads(run("evaluate", "--experiment", "a.yaml", "--json").out)
    assert study["collections"][0]["systems"][0]["values"] == systems["BM25 > model"]


@pytest.mark.parametrize("kind", ["model", "bundle"])
def test_mine(run: Any, folders: Any, places: dict[str, Path], tmp_path: Path, kind: str) -> None:
    documents = dict.fromkeys([f"d{number}" for number in range(1, 6)], 1.0)
    write_run(tmp_path / "run", dict.fromkeys(("q1", "q2", "q3"), documents))
    options = ("--model", places[kind], "--teacher", places[kind], "--denoiser", places[kind], "--denoise-above", 1e9)
    words = ("--data", folders.beir, "--split", "test", "--out", "mined", "--negatives", 1, "--run", "run")
    outcome = run("mine", *words, *options, "--json")
    assert outcome.code == 0, outcome.err
    lists = list(read_lists(tmp_path / "mined" / "lists.jsonl"))
    assert len(lists) == 3
    assert all(len(each.teacher_scores or ()) == len(each.documents) for each in lists)
