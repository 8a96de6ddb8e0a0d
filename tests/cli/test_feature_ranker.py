"""A run of a feature ranker is exported, measured on learning-to-rank files, and refused where texts are wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad.data import read_letor
from rankgrad.metrics import NDCG
from rankgrad.models import FeatureRanker


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run with its best model, that model's future bundle, and a fold of rows."""
    root = tmp_path_factory.mktemp("ltr")
    rows = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    (root / "fold").mkdir()
    lines = [
        f"{int(3 * first)} qid:{place // 6} 1:{first:.4f} 2:{second:.4f} 3:{third:.4f}\n"
        for place, (first, second, third) in enumerate(rows.tolist())
    ]
    (root / "fold" / "test.txt").write_text("".join(lines))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FeatureRanker(3, hidden=(4,))
    model.fit_transform(rows)
    model.save_pretrained(root / "run" / "best")
    (root / "names.txt").write_text("first\nsecond\n\nthird\n")
    return {"root": root, "run": root / "run", "bundle": root / "bundle", "fold": root / "fold"}


def test_a_run_is_exported_and_measured(places: dict[str, Path], run: Callable[..., Any], tmp_path: Path) -> None:
    bundle, fold = places["bundle"], places["fold"]
    names = ("--feature-names", places["root"] / "names.txt")
    done = run("export", places["run"], "--out", bundle, *names, "--data", fold)
    assert (done.code, done.out) == (0, ""), done.err
    content = json.loads((bundle / "rankgrad.json").read_text())
    assert content["features"]["names"] == ["first", "second", "third"]
    quality = content["quality"]

    models = ("--model", places["run"] / "best", "--model", bundle)
    done = run("evaluate", "--data", fold, *models, "--k", "5", "--json", "--out", tmp_path / "report")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    table = read_letor(fold / "test.txt")
    model = FeatureRanker.from_pretrained(places["run"] / "best")
    with torch.no_grad():
        scores = model.forward_lists(table.features.view(10, 6, 3), torch.ones(10, 6, dtype=torch.bool))
    expected = NDCG(k=5)(scores, table.labels.view(10, 6)).tolist()
    measured = float(NDCG(k=10)(scores, table.labels.view(10, 6)).mean())
    assert quality["variants"]["fp32"]["ndcg"] == pytest.approx(measured)
    assert [system["name"] for system in report["systems"]] == ["run torch", "bundle fp32"]
    for system in report["systems"]:
        assert system["values"]["nDCG@5"] == pytest.approx(expected)
    assert (report["documents"], len(report["queries"])) == (60, 10)
    assert (tmp_path / "report" / "runs" / "run-torch.trec").read_text().count("\n") == 60

    done = run("evaluate", "--data", fold / "test.txt", "--model", bundle, "--queries", "4")
    assert done.code == 0, done.err
    assert "4 queries, 60 documents" in done.out


def test_what_is_refused(places: dict[str, Path], run: Callable[..., Any], folders: Any) -> None:
    best, fold = places["run"] / "best", places["fold"]
    rows = fold / "test.txt"
    for words, message in (
        (("rerank", "--model", best, "a query", "a text"), "reads rows of features, not texts"),
        (("evaluate", "--data", rows), "give a feature ranker or its bundle as --model"),
        (
            ("evaluate", "--data", fold, "--model", best, "--split", "vali"),
            "has no vali.txt: choose --split among test",
        ),
        (("evaluate", "--data", rows, "--model", folders.cross_encoder), "holds no feature ranker"),
        (("evaluate", "--data", rows, "--model", best, "--tune-on", "vali"), "have no first stage"),
        (
            ("evaluate", "--data", rows, "--model", best, "--split", "vali"),
            "--split says nothing of --data that is one",
        ),
        (("evaluate", "--data", rows, "--model", best, "--model", best), "two folders have the same name"),
        (("export", best, "--out", "new", "--feature-names", rows), "expected 3 names, one a feature, got 60 names"),
        (("export", best, "--out", "new", "--data", "pydoc"), "is measured on svmlight rows"),
        (("export", best, "--out", "new", "--data", rows, "--depth", "3"), "--depth says nothing beside a feature"),
        (("export", folders.cross_encoder, "--out", "new", "--feature-names", rows), "has no features"),
    ):
        done = run(*words)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), words
        assert message in done.err
