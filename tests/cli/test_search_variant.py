"""``rankgrad search --variant``: a graph of every bundle that is given, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankgrad import deploy
from rankgrad.data import write_run
from rankgrad.export import export_bundle
from rankgrad.models import ColBERT

QUERY = "sort the values and read a file"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Bundles that were opened, with the variant."""
    opened: list[tuple[str, str]] = []
    load = deploy.load

    def noting(folder: Path, *, variant: Any = "fp32") -> Any:
        opened.append((folder.name, variant))
        return load(folder, variant=variant)

    monkeypatch.setattr(deploy, "load", noting)
    return opened


def found(run: Any, *words: object) -> dict[str, float]:
    outcome = run("search", QUERY, "--json", "-k", 2, *words)
    assert outcome.code == 0, outcome.err
    return {row["id"]: row["score"] for row in json.loads(outcome.out)["results"]}


def test_the_graph_of_each_bundle(run: Any, folders: Any, opened: list[tuple[str, str]]) -> None:
    chain = ("--data", folders.beir, "--model", folders.colbert, "--model", folders.cross_encoder_bundle)
    scores = [found(run, *chain, *variant) for variant in ((), ("--variant", "fp32"), ("--variant", "int8"))]
    assert [variant for _, variant in opened] == ["fp32", "fp32", "int8"]
    assert scores[0] == scores[1]
    model = deploy.load(folders.cross_encoder_bundle, variant="int8")
    assert isinstance(model, deploy.CrossEncoder)
    texts = {
        row["_id"]: row["text"] for row in map(json.loads, (folders.beir / "corpus.jsonl").read_text().splitlines())
    }
    own = model.score([QUERY] * len(scores[2]), [texts[name] for name in scores[2]])
    assert list(scores[2].values()) == pytest.approx([float(score) for score in own], abs=1e-6)
    assert scores[2] != scores[0]


def test_the_model_of_an_index(run: Any, folders: Any, opened: list[tuple[str, str]]) -> None:
    assert run("index", folders.colbert_bundle, "--corpus", folders.beir, "--out", "index", "--exact").code == 0
    del opened[:]
    assert found(run, "--index", "index", "--variant", "int8", "--model", folders.cross_encoder).keys() <= {
        *("d1", "d2", "d3", "d4", "d5")
    }
    assert opened == [("colbert_bundle", "int8")]


def test_an_index_is_queried_by_the_graph_that_made_it(run: Any, folders: Any, opened: list[tuple[str, str]]) -> None:
    words = ("--corpus", folders.beir, "--out", "index", "--exact", "--variant", "int8")
    assert run("index", folders.colbert_bundle, *words).code == 0
    scores = found(run, "--index", "index")
    assert opened == [("colbert_bundle", "int8")] * 2
    model = deploy.load(folders.colbert_bundle, variant="int8")
    assert isinstance(model, deploy.ColBERT)
    texts = {
        row["_id"]: row["text"] for row in map(json.loads, (folders.beir / "corpus.jsonl").read_text().splitlines())
    }
    own = model.score([QUERY], model.encode_documents(list(texts.values())))[0].tolist()
    best = dict(sorted(zip(texts, own, strict=True), key=lambda each: -each[1])[:2])
    assert scores == pytest.approx(best, abs=5e-3)
    del opened[:]
    found(run, "--index", "index", "--encoder", folders.colbert)
    found(run, "--index", "index", "--variant", "fp32")
    assert opened == [("colbert_bundle", "fp32")]


def test_negatives_are_scored_by_the_graph_that_is_asked_for(
    run: Any, folders: Any, opened: list[tuple[str, str]], tmp_path: Path
) -> None:
    write_run(tmp_path / "run", {f"q{place}": {f"d{number}": 1.0 for number in range(1, 6)} for place in (1, 2, 3)})
    data = ("--data", folders.beir, "--split", "test", "--run", "run", "--variant", "int8")
    models = ("--model", folders.colbert_bundle, "--teacher", folders.cross_encoder)
    assert run("mine", *data, "--out", "mined", *models).code == 0
    assert opened == [("colbert_bundle", "int8")]
    refused = run("mine", *data, "--out", "other")
    assert (refused.code, refused.out) == (2, "")
    assert "--variant int8 is a graph of a bundle: give one with --model" in refused.err


def test_a_colbert_in_one_graph_reranks(run: Any, folders: Any, tmp_path: Path) -> None:
    export_bundle(ColBERT.from_pretrained(folders.colbert), tmp_path / "one", one_graph=True)
    chain = ("--data", folders.beir, "--model")
    one, own = found(run, *chain, tmp_path / "one"), found(run, *chain, folders.colbert)
    assert one == pytest.approx(own, abs=1e-5)
    words = (QUERY, "a file", "a list")
    assert run("rerank", "--model", tmp_path / "one", *words).code == 0
    for refused in (
        run("rerank", "--model", tmp_path / "one", *words, "--explain"),
        run("index", tmp_path / "one", "--corpus", folders.beir, "--out", "index"),
    ):
        assert (refused.code, refused.out) == (2, "")
        assert any(said in refused.err for said in ("takes the score of a ColBERT apart", "holds a ColBERTReranker"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--variant", "int8"), "--variant int8 is a graph of a bundle: give one with --model, or leave it out"),
        (("--model", "COLBERT", "--variant", "int8"), "--variant int8: COLBERT is no bundle; make one with"),
        (("--model", "BUNDLE", "--variant", "fp16"), "BUNDLE has no variant 'fp16': choose one of fp32, int8"),
        (("--model", "BUNDLE", "--variant", "int3"), "argument --variant: invalid choice: 'int3'"),
    ],
)
def test_bad_input(run: Any, folders: Any, words: tuple[str, ...], message: str) -> None:
    places = {"COLBERT": str(folders.colbert), "BUNDLE": str(folders.colbert_bundle)}
    for name, place in places.items():
        message = message.replace(name, place)
    outcome = run("search", "--data", folders.beir, QUERY, *(places.get(word, word) for word in words))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_the_help_is_that_of_rerank(run: Any) -> None:
    said = "which graph of a bundle (default: fp32"
    assert all(said in " ".join(run(command, "--help").out.split()) for command in ("search", "rerank", "index"))
