"""Runs in TREC's format as the first stage of an experiment: they are measured and fused as alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from rankgrad._checks import InputError
from rankgrad.cli._experiment_systems import SystemsOf
from rankgrad.cli._load import load_collection
from rankgrad.cli._measures import ALL_TREC
from rankgrad.cli.experiment import read_experiment, read_settings
from rankgrad.data import read_run, write_run
from rankgrad.pipeline import Pipeline

RUN = {"q1": {"d2": 2.0, "d1": 2.0, "d5": 1.0}, "q3": {"d5": 0.5, "d4": 0.25}}


def written(stage: Any, data: Path, path: Path, **more: Any) -> Path:
    content = {"collections": [{"data": str(data)}], "systems": {"a": {"first_stage": stage}}, "depth": 4, **more}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def built(stage: Any, data: Path, path: Path) -> Pipeline:
    settings = read_settings(written(stage, data, path))
    task = load_collection(str(data)).task("test")
    return SystemsOf(settings, [task])(task)["a"]


def test_a_run_is_measured_as_evaluate_does(run: Any, folders: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "run.txt", RUN)
    # Grades of 2, 1 and 0, judged documents that the run lacks, and documents of the run that nobody judged.
    shutil.copytree(folders.beir, tmp_path / "beir")
    rows = ("q1\td1\t2", "q1\td4\t1", "q1\td5\t0", "q2\td2\t1", "q3\td5\t1", "q3\td1\t0")
    (tmp_path / "beir/qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    (tmp_path / "qrels").write_text("".join("{} 0 {} {}\n".format(*row.split("\t")) for row in rows))
    names = [name for name in ALL_TREC if not name.startswith(("num_", "gm_"))]
    names += ["judged@10", "judged@1", "nDCG@10", "nDCG(exp2)@2", "MRR@10", "ERR@20", "RBP(0.8)", "ARP"]
    words = ("evaluate", "--run", "run.txt", "--qrels", "qrels", "-c", "-q", "--json", "-m", *names)
    theirs = json.loads(run(*words).out)
    path = written(
        {"kind": "run", "run": str(tmp_path / "run.txt")},
        tmp_path / "beir",
        tmp_path / "a.yaml",
        metrics=names,
        cache=str(tmp_path / "cache"),
    )

    def measured() -> dict[str, Any]:
        return json.loads(run("evaluate", "--experiment", path, "--json").out)["collections"][0]["systems"][0]

    ours = measured()
    expected = {name: [theirs["per_query"][query][name] for query in ("q1", "q2", "q3")] for name in theirs["measures"]}
    assert len(expected) > 80
    assert expected["bpref"] == [0.5, 0.0, 1.0]
    assert ours["values"] == {name: pytest.approx(values, abs=1e-7) for name, values in expected.items()}
    assert measured()["kept"], "the same file"
    write_run(tmp_path / "run.txt", {**RUN, "q2": {"d2": 1.0}})
    assert not measured()["kept"]


def test_runs_are_fused_as_fuse_does(run: Any, folders: Any, tmp_path: Path) -> None:
    other = {"q1": {"d3": 7.0, "d2": 1.0}, "q2": {"d4": 1.0}}
    for name, content in (("one", RUN), ("two", other)):
        write_run(tmp_path / name, content)
    assert run("fuse", "one", "two", "--out", "fused", "--weights", 1, 3, "--k", 9, "--depth", 4).code == 0
    runs = [{"kind": "run", "run": str(tmp_path / name)} for name in ("one", "two")]
    stage = {"kind": "fusion", "of": runs, "weights": [1, 3], "k": 9}
    system = built(stage, folders.beir, tmp_path / "a.yaml")
    task = load_collection(str(folders.beir)).task("test")
    found = task.run(system(task.queries.texts))
    expected = read_run(tmp_path / "fused")
    assert {query: list(scores) for query, scores in found.items() if scores} == {
        query: list(scores) for query, scores in expected.items()
    }
    for query, scores in expected.items():
        assert found[query] == pytest.approx(scores)


def test_each_collection_has_its_run(folders: Any, tmp_path: Path) -> None:
    shutil.copytree(folders.beir, tmp_path / "other")
    for name, document in (("one", "d3"), ("two", "d4")):
        write_run(tmp_path / name, {"q1": {document: 1.0}})
    one, two = str(folders.beir), str(tmp_path / "other")

    def found(places: Any) -> list[str]:
        more = {"collections": [{"data": one}, {"data": two}], "metrics": ["nDCG@10"]}
        path = written({"kind": "run", "run": places}, folders.beir, tmp_path / "a.yaml", **more)
        reports = read_experiment(path).run(progress=False).reports
        return [next(iter(report.runs["a"]["q1"])) for report in reports]

    files = {one: str(tmp_path / "one"), two: str(tmp_path / "two")}
    assert found(files) == ["d3", "d4"]
    assert found({**files, f"{two}/test": str(tmp_path / "one")}) == ["d3", "d3"]
    with pytest.raises(InputError, match="a: run: one path for 2 collections: write `run: "):
        found(str(tmp_path / "one"))
    with pytest.raises(InputError, match=f"a: run: nothing for {two}: add"):
        found({one: str(tmp_path / "one")})


def test_queries_of_one_text_need_one_list(folders: Any, tmp_path: Path) -> None:
    shutil.copytree(folders.beir, tmp_path / "beir")
    queries = tmp_path / "beir" / "queries.jsonl"
    queries.write_text(queries.read_text().replace("sort dictionary values", "read a file"))
    stage = {"kind": "run", "run": str(tmp_path / "run")}
    write_run(tmp_path / "run", {"q1": {"d1": 1.0}, "q2": {"d1": 1.0}})
    system = built(stage, tmp_path / "beir", tmp_path / "a.yaml")
    assert system(["read a file"]).ids.tolist() == [[0, -1, -1, -1]]
    with pytest.raises(InputError, match="the query 'x' is none of those"):
        system(["x"])
    write_run(tmp_path / "run", {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}})
    with pytest.raises(InputError, match="queries 'q1' and 'q2' have one text and different lists"):
        built(stage, tmp_path / "beir", tmp_path / "a.yaml")
