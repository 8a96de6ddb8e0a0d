"""Every example runs from an empty folder, offline, and its own assertions hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
# What takes a minute is shortened; its own assertions hold then too.
SHORTENED = {
    "differentiable_knn": ["--steps", "60"],
    "soft_spearman": ["--steps", "60", "--splits", "2"],
    "sort_digits": ["--steps", "100"],
}
LONGEST = 110


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    done = subprocess.run(
        [sys.executable, str(path), *SHORTENED.get(path.stem, [])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
