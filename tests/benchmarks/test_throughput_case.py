"""The case of mixed lengths runs and agrees, at a size that says nothing about speed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import throughput
from benchmarks.__main__ import main
from benchmarks.record import read


# Peers and trainers warn as they like.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_quick_run_scores_and_trains(
    tiny_encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quick", "--model", str(tiny_encoder_folder), "--out", str(tmp_path)]
    assert main([throughput.CASE, *options]) == 0
    output = capsys.readouterr().out
    rows, _ = read(next(tmp_path.glob("throughput--*.csv")))
    rates = {(row.setting.split(",")[0], row.provider): row.p50 for row in rows if row.unit == "tokens/s"}
    ours = {("scoring", "rankgrad packed"), ("scoring", "rankgrad grouped"), ("training", "rankgrad")}
    assert ours <= set(rates)
    assert min(rates.values()) > 0
    has_peer = find_spec("sentence_transformers") is not None
    assert (("scoring", throughput.PEER) in rates) == has_peer
    assert (f"skipped: {throughput.PEER}, scoring" in output) != has_peer
