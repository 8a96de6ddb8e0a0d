"""Each case runs from the command line on a tiny model, and says which peers it could not measure."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.record import read

ROOT = Path(__file__).resolve().parents[2]
HAS_PEER = find_spec("sentence_transformers") is not None
HAS_TRAINER = HAS_PEER and find_spec("datasets") is not None and find_spec("accelerate") is not None


def run(case: str, model: Path, out: Path) -> str:
    """What a quick run writes to the terminal."""
    command = [sys.executable, "-m", "benchmarks", case, "--quick", "--model", str(model), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_rerank(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    output = run("rerank", tiny_encoder_folder, tmp_path)
    rows, _ = read(next(tmp_path.glob("rerank--*.csv")))
    providers = {row.provider for row in rows if row.unit == "ms"}
    expected = {"rankgrad torch", "rankgrad ONNX fp32", "rankgrad ONNX int8"}
    peers = {"sentence-transformers CrossEncoder", "sentence-transformers MultiVectorEncoder"}
    assert providers == expected | (peers if HAS_PEER else set())
    assert all(("skipped: " + peer in output) != HAS_PEER for peer in peers)
    exact = [row.p50 for row in rows if row.metric == "difference to torch" and "int8" not in row.provider]
    assert max(exact) <= 1e-4
    assert {row.setting.split(", ")[-1] for row in rows} == {"1 thread"}
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_training(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    output = run("training", tiny_encoder_folder, tmp_path)
    rows, _ = read(next(tmp_path.glob("training--*.csv")))
    rates = {(row.provider, row.setting): row.p50 for row in rows if row.unit == "tokens/s"}
    assert {provider for provider, _ in rates} == {training.OURS, *([training.PEER] if HAS_TRAINER else [])}
    assert len({setting for _, setting in rates}) == 4
    assert min(rates.values()) > 0
    assert (f"skipped: {training.PEER}" in output) != HAS_TRAINER


@pytest.mark.parametrize("arguments", [["nothing"], ["rerank", "--device", "abacus"]])
def test_unknown_words_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
