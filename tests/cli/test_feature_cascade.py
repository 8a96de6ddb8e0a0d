"""A run of a cascade: its best model and checkpoint are exported and measured, and refused where texts are wanted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from rankgrad.cli.main import main
from rankgrad.data import read_letor
from rankgrad.export.provenance import provenance
from rankgrad.metrics import NDCG
from rankgrad.pipeline import FeatureCascade

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "experiment" / "ltr_cascade.yaml"
QUERIES, ITEMS = 6, 20


class Places(NamedTuple):
    """A run of the shipped configuration, its last checkpoint, and the rows it was trained on."""

    run: Path
    checkpoint: Path
    rows: Path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("cascade")
    values = torch.rand(QUERIES * ITEMS, 12, generator=torch.Generator().manual_seed(0)).tolist()
    lines = [
        f"{int(3 * row[0])} qid:{place // ITEMS} " + " ".join(f"{one}:{value:.4f}" for one, value in enumerate(row, 1))
        for place, row in enumerate(values)
    ]
    rows = root / "rows.txt"
    rows.write_text("\n".join(lines) + "\n")
    before = os.getcwd()
    os.chdir(root)
    try:
        options = ("--trainer.max_epochs=1", "--trainer.val_check_interval=1.0", "--tensorboard=false")
        where = (f"--run_folder={root / 'run'}", f"--data.train={rows}", "--data.features=300", *options)
        assert main(["fit", "--config", str(CONFIG), *where]) == 0
    finally:
        os.chdir(before)
    (checkpoint,) = (root / "run" / "checkpoints").glob("*.ckpt")
    return Places(root / "run", checkpoint, rows)


def test_a_checkpoint_is_exported_and_measured_as_the_best_model_is(places: Places, run: Callable[..., Any]) -> None:
    done = run("export", places.checkpoint, "--out", "bundle")
    assert (done.code, done.out) == (0, ""), done.err
    content = json.loads(Path("bundle", "rankgrad.json").read_text())
    # One epoch with one validation at its end: the best model is the last.
    best = FeatureCascade.from_pretrained(places.run / "best")
    assert content["provenance"]["weights_sha256"] == provenance(best)["weights_sha256"]
    assert content["provenance"]["settings"] == best.settings
    assert content["cascade"]["cutoffs"] == [15]
    done = run("verify", "bundle")
    assert done.code == 0, done.out

    models = ("--model", places.run / "best", "--model", places.checkpoint, "--model", "bundle")
    done = run("evaluate", "--data", places.rows, *models, "--k", "5", "--json")
    assert done.code == 0, done.err
    table = read_letor(places.rows, features=300)
    with torch.no_grad():
        scores = best.forward_lists(
            table.features.view(QUERIES, ITEMS, 300), torch.ones(QUERIES, ITEMS, dtype=torch.bool)
        )
    expected = NDCG(k=5)(scores, table.labels.view(QUERIES, ITEMS)).tolist()
    systems = {each["name"]: each["values"]["nDCG@5"] for each in json.loads(done.out)["systems"]}
    names = ["run torch", f"run {places.checkpoint.stem} torch", "bundle fp32"]
    assert list(systems) == names
    assert all(values == pytest.approx(expected) for values in systems.values())
    # 20 rows at 0.001 ms and 15 at 0.05.
    said = "documents scored a query: stage 1 20.0, stage 2 15.0; expected cost 0.77 ms a query"
    assert done.err.splitlines() == [f"rankgrad: {name}: {said}" for name in names]


def test_a_run_is_exported_from_its_best(
    places: Places, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr("rankgrad.export.export_bundle", lambda model, *_, **__: given.append(model) or {})
    for model in (places.run, places.run / "best"):
        assert run("export", model, "--out", "bundle").code == 0
    assert [type(each) for each in given] == [FeatureCascade, FeatureCascade]
    assert all(each.settings["features"] == 300 and not each.training for each in given)


def test_what_is_refused(places: Places, run: Callable[..., Any], tmp_path: Path) -> None:
    beir, other = tmp_path / "beir", tmp_path / "other"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id": "d", "title": "", "text": "sort a list"}\n')
    (beir / "queries.jsonl").write_text('{"_id": "q", "text": "sort"}\n')
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    (other / "checkpoints").mkdir(parents=True)
    (other / "config.yaml").write_text("model: {model: {class_path: rankgrad.models.CrossEncoder}}\n")
    stray, text = other / "stray.ckpt", other / "checkpoints" / "text.ckpt"
    for path in (stray, text):
        path.write_bytes(b"")
    best, checkpoint = places.run / "best", places.checkpoint
    cut = shutil.copytree(places.run, tmp_path / "cut") / "checkpoints" / checkpoint.name
    cut.write_bytes(cut.read_bytes()[:1000])
    for words, message in (
        (("evaluate", "--data", beir, "--model", best), "reads rows of features, not texts"),
        (("evaluate", "--data", beir, "--model", checkpoint), "is a training checkpoint: of feature rankers and"),
        (("rerank", "--model", best, "a query", "a text"), "reads rows of features, not texts"),
        (("export", best, "--out", "new", "--one-graph"), "a FeatureCascade has neither exits nor two encoders"),
        (("export", stray, "--out", "new"), "stray.ckpt lies in no run"),
        (("export", text, "--out", "new"), "is a checkpoint of rankgrad.models.CrossEncoder: only those of feature"),
        (("evaluate", "--data", places.rows, "--model", cut), "is damaged or no checkpoint"),
    ):
        done = run(*words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), (words, done.err)
        assert message in done.err
    assert not (tmp_path / "new").exists()
