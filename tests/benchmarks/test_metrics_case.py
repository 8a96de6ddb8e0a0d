"""The benchmark of metrics runs and agrees, at a size that says nothing about speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.record import read

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_quick_run_measures_both_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "metrics", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = tmp_path.glob("metrics--*.csv")
    rows, _ = read(path)
    ours = [row for row in rows if row.provider.startswith("rankgrad")]
    assert len({row.setting for row in ours}) == 2
    assert all(row.p50 > 0 for row in ours)
