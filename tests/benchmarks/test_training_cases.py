"""The cases of large batches and of killed trainings run from the command line, on tiny models."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import grad_cache
from benchmarks.__main__ import main
from benchmarks.record import read
from rankgrad.training.random_state import random_state, set_random_state


@pytest.mark.slow
def test_more_queries_fit_with_cached_gradients(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["grad_cache", "--quick", "--out", str(tmp_path)]) == 0
    rows, _ = read(next(tmp_path.glob("grad_cache--*.csv")))
    present = [name for name, package in grad_cache.PEERS.items() if find_spec(package)]
    assert {row.provider for row in rows} == {grad_cache.WHOLE, grad_cache.CACHED, *present}
    assert max(row.p50 for row in rows if "difference" in row.metric) < grad_cache.TOLERANCE
    written = capfd.readouterr().out
    assert all((f"skipped: {name}" in written) != (name in present) for name in grad_cache.PEERS)


@pytest.mark.slow
def test_a_killed_training_ends_as_an_undisturbed_one(
    tiny_encoder_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = random_state()
    assert main(["resume", "--quick", "--model", str(tiny_encoder_folder), "--out", str(tmp_path)]) == 0
    set_random_state(state)
    values = {row.metric: row.p50 for row in read(next(tmp_path.glob("resume--*.csv")))[0]}
    assert values == {"survived": 1.0, "losses and metrics equal": 1.0, "largest difference of a weight": 0.0}
    assert "kill 1: after step" in capfd.readouterr().out
