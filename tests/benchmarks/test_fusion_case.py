"""The benchmark of fusion runs and agrees, at a size that says nothing about speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fusion_providers import METHODS
from benchmarks.record import read

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_quick_run_measures_every_method(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "fusion", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "left out" not in done.stdout
    (path,) = tmp_path.glob("fusion--*.csv")
    rows, _ = read(path)
    ours = [row for row in rows if row.provider == "rankgrad"]
    assert len(ours) == len(METHODS)
    assert all(row.p50 > 0 for row in ours)
