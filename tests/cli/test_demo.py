"""What ``rankgrad demo`` asks and prints; its parts are trained and measured elsewhere, and it runs in `make demo`."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rankgrad.cli import demo


def test_no_answer_is_the_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def end_of_file(prompt: str) -> str:
        raise EOFError

    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    monkeypatch.setattr(builtins, "input", end_of_file)
    assert demo._ask() == demo.QUESTION
    monkeypatch.setattr(builtins, "input", lambda prompt: " sort a list ")
    assert demo._ask() == "sort a list"


def test_json_alone_goes_to_standard_output(
    run: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two bundles in the place of the trained ones, and without measuring."""
    from rankgrad.evaluation import Report

    bundles = [folders.colbert_bundle, folders.cross_encoder_bundle]
    report = Report("pydoc", 1, (), "BM25", (), (), (), 1, 0)
    monkeypatch.setattr(demo, "_train_and_export", lambda *_: bundles)
    monkeypatch.setattr(demo, "_measure", lambda *_: report)
    outcome = run("demo", "--json", "--query", "sort a list")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert (made["query"], made["bundles"]) == ("sort a list", [str(bundle) for bundle in bundles])
    assert made["report"]["collection"] == "pydoc"
    assert [row["rank"] for row in made["results"]] == [1, 2, 3, 4, 5]
    assert "Reranking with the bundles" in outcome.err
