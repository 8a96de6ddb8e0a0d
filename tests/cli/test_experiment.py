"""``rankgrad evaluate --experiment``: systems x metrics x collections of one YAML file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankgrad._checks import InputError
from rankgrad.cli.experiment import read_settings
from rankgrad.rerank import LateInteractionReranker

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "experiment.yaml"


@pytest.fixture
def content(folders: Any, tmp_path: Path) -> dict[str, Any]:
    """The example with tiny models and collections in the place of those that it names."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    shutil.copytree(folders.beir, tmp_path / "other")
    lines = (tmp_path / "other" / "queries.jsonl").read_text().splitlines()
    (tmp_path / "other" / "queries.jsonl").write_text("\n".join(lines[:2]))
    with (tmp_path / "other" / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"_id": "d6", "title": "", "text": "read a date"}) + "\n")
    qrels = (tmp_path / "other" / "qrels" / "test.tsv").read_text().splitlines()
    (tmp_path / "other" / "qrels" / "test.tsv").write_text("\n".join(qrels[:3]))
    content["collections"] = [{"data": str(folders.beir)}, {"data": "other", "split": "test", "queries": 2}]
    kinds = {"colbert": str(folders.colbert), "cross-encoder": str(folders.cross_encoder)}
    for system in content["systems"].values():
        for stage in (system or {}).get("rerank", ()):
            stage["model"] = kinds[Path(stage["model"]).parent.name]
    return content


def written(content: object, path: Path) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_the_example_runs_and_keeps_what_is_slow(
    run: Any, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(content, tmp_path / "experiment.yaml")
    # Pictures are drawn in tests/evaluation.
    monkeypatch.setattr("rankgrad.evaluation.pictures._png", lambda figure: b"\x89PNG")
    encoded: list[int] = []
    index = LateInteractionReranker.index
    monkeypatch.setattr(
        LateInteractionReranker,
        "index",
        lambda self, *, progress=False: encoded.append(len(self.documents)) or index(self, progress=progress),
    )
    outcome = run("evaluate", "--experiment", path, "--out", "report", "--json")
    assert outcome.code == 0
    study = json.loads(outcome.out)
    first, second = study["collections"]
    assert [one["name"] for one in first["systems"]] == ["BM25", "ColBERT", "ColBERT on top of BM25", "cascade"]
    assert (first["collection"], second["collection"]) == ("beir/test", "other/test")
    assert first["metrics"] == ["nDCG@10", "MRR@10", "recall@100", "map"]
    assert encoded == [5, 6], "one ColBERT in three systems is indexed once a collection"
    assert json.loads((tmp_path / "report" / "study.json").read_text()) == study
    assert (tmp_path / "report" / "report.html").is_file()
    assert {path.name for path in (tmp_path / "runs" / "experiment_cache").iterdir()} == {"answers", "indexes"}

    again = json.loads(run("evaluate", "--experiment", path, "--json").out)
    assert encoded == [5, 6]
    assert all(one["kept"] for each in again["collections"] for one in each["systems"])
    for one, other in zip(study["collections"], again["collections"], strict=True):
        assert [system["values"] for system in one["systems"]] == [system["values"] for system in other["systems"]]

    # Another depth is another system; the others are kept.
    content["systems"]["cascade"]["rerank"][1]["depth"] = 1
    changed = json.loads(run("evaluate", "--experiment", written(content, path), "--json").out)
    assert [one["kept"] for one in changed["collections"][0]["systems"]] == [True, True, True, False]
    table = run("evaluate", "--experiment", path)
    assert table.code == 0
    assert "4 systems on 2 collections" in table.out


def test_a_chain_is_what_evaluate_makes_of_the_same_models(run: Any, folders: Any, tmp_path: Path) -> None:
    stages = [{"model": str(folders.colbert)}, {"model": str(folders.cross_encoder_bundle), "variant": "fp32"}]
    content = {
        "collections": [{"data": str(folders.beir)}],
        "systems": {"BM25": None, "a": {"rerank": stages[:1]}, "b": {"rerank": stages[1:]}, "c": {"rerank": stages}},
        "depth": 5,
    }
    path = written(content, tmp_path / "a.yaml")
    ours = json.loads(run("evaluate", "--experiment", path, "--json").out)["collections"][0]
    models = ("--model", folders.colbert, "--model", folders.cross_encoder_bundle)
    outcome = run("evaluate", "--data", folders.beir, *models, "--depth", 5, "--json", "--cross-encoder-depth", 5)
    theirs = json.loads(outcome.out)
    values = {one["name"]: one["values"] for one in theirs["systems"]}
    assert ours["metrics"] == theirs["metrics"]
    assert [one["values"] for one in ours["systems"]][:3] == [
        values[name] for name in ("BM25", "BM25 > colbert", "BM25 > cross_bundle fp32")
    ]
    assert ours["baseline"] == "BM25"
    assert not (tmp_path / "runs").exists()


GOOD = {"collections": [{"data": "x"}], "systems": {"BM25": None}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "a.yaml: expected keys and values, got list"),
        ({"systems": {"a": None}}, "collections is missing"),
        ({**GOOD, "sytems": 1}, "'sytems' is unknown: choose among collections, systems"),
        ({**GOOD, "collections": [{"dat": "x"}]}, "collections, number 1: 'dat' is unknown: choose among data"),
        ({**GOOD, "systems": {}}, "systems: expected names and what they stand for"),
        ({**GOOD, "systems": {"a": "BM25"}}, "systems: a: expected keys and values, got 'BM25'"),
        ({**GOOD, "systems": {"a": {"rerank": [{"depth": 3}]}}}, "systems: a: rerank, number 1: model is missing"),
        ({**GOOD, "systems": {"a": {"rerank": [{"model": "m", "depth": 0}]}}}, "depth: expected a whole number"),
        (
            {**GOOD, "systems": {"a": {"rerank": [{"model": "m", "first_stage_weight": "x"}]}}},
            "first_stage_weight: expected a number, got 'x'",
        ),
        (
            {**GOOD, "systems": {"a": {"rerank": [{"model": "m", "first_stage_weight": float("nan")}]}}},
            "first_stage_weight: expected a number, got nan",
        ),
        ({**GOOD, "systems": {"a": {"first_stage": {"kind": "bm25", "k1": float("inf")}}}}, "k1: expected a number"),
        ({**GOOD, "baseline": "b"}, "baseline: 'b' is no system: choose one of BM25"),
        ({**GOOD, "metrics": "map"}, "metrics: expected a list of texts, got 'map'"),
    ],
)
def test_what_a_file_may_not_say(content: Any, message: str, tmp_path: Path) -> None:
    path = written(content, tmp_path / "a.yaml")
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["arp", "map"]}, "metrics: arp decides, and lower is better"),
        ({"metrics": ["num_q"]}, "metrics: num_q is no mean of queries' values"),
        ({"metrics": ["nDCQ@10"]}, "measure 'nDCQ@10': unknown"),
        ({"systems": {"a": {"rerank": [{"model": "none"}]}}}, "none is no folder"),
        ({"systems": {"a": {"rerank": [{"model": ".", "variant": "int3"}]}}}, "variant 'int3' is unknown"),
    ],
)
def test_what_cannot_be_measured(change: Any, message: str, run: Any, folders: Any, tmp_path: Path) -> None:
    path = written({**GOOD, "collections": [{"data": str(folders.beir)}], **change}, tmp_path / "a.yaml")
    outcome = run("evaluate", "--experiment", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_no_yaml_is_refused_with_its_line(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("systems:\n  a: [1\nb: 2\n")
    outcome = run("evaluate", "--experiment", "a.yaml")
    assert outcome.code == 2
    assert "a.yaml:3: no valid YAML" in outcome.err
    (tmp_path / "b.yaml").write_text("systems: !!python/object/apply:os.system ['true']\n")
    assert "could not determine a constructor" in run("evaluate", "--experiment", "b.yaml").err
    assert run("evaluate", "--experiment", "none.yaml").err == (
        "rankgrad: error: none.yaml: No such file or directory\n"
    )
    outcome = run("evaluate", "--experiment", "a.yaml", "--data", "x")
    assert outcome.err.startswith("rankgrad: error: --data says nothing beside --experiment, whose file says what")
