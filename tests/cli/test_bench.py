"""``rankgrad bench`` hands its words on to the benchmarks of a checkout, and says where there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rankgrad.cli import bench


def test_words_and_exit_code_pass_through(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def started(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command[1:])
        assert options["env"]["PYTHONPATH"].startswith(str(bench.CHECKOUT))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", started)
    assert run("bench", "rerank", "--quick", "--out", "somewhere", "--model=random").code == 1
    assert run("bench", "--help-all").code == 1
    assert asked == [
        ["-m", "benchmarks", "rerank", "--quick", "--out", "somewhere", "--model=random"],
        ["-m", "benchmarks", "--help"],
    ]


def test_without_a_case_or_a_checkout(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = run("bench")
    assert (nothing.code, nothing.out, nothing.err.count("\n")) == (2, "", 1)
    assert "no case to measure" in nothing.err
    monkeypatch.setattr(bench, "CHECKOUT", tmp_path)
    elsewhere = run("bench", "rerank")
    assert (elsewhere.code, elsewhere.out, elsewhere.err.count("\n")) == (2, "", 1)
    assert "not part of the installed package" in elsewhere.err
