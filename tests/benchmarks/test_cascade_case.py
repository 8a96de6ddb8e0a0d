"""The benchmark of cascades and learned fusion runs, at a size that says nothing about quality."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cascade_fusion import COMB_SUM, LISTS, RRF
from benchmarks.cascade_systems import PEERS, SYSTEMS
from benchmarks.record import read

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_quick_run_trains_every_system_and_fuses(tmp_path: Path) -> None:
    options = ["--quick", "--model", "random", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", "cascade", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = tmp_path.glob("cascade--*.csv")
    rows, _ = read(path)
    quality = {row.provider for row in rows if row.metric.startswith("nDCG@10, ")}
    assert {*SYSTEMS, *LISTS, RRF, COMB_SUM, "BM25", "second stage on all"} <= quality
    assert {row.provider for row in rows if row.unit == "ms"} == {*SYSTEMS, "second stage on all"}
    assert {row.provider for row in rows if row.metric.startswith("nDCG@10 less")} == set(SYSTEMS) - set(PEERS)
    assert all(0 <= row.p50 <= 1 for row in rows if row.unit == "nDCG")
