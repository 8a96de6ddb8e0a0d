"""Each case runs from the command line on a tiny model, and says which peers it could not measure."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import training
from benchmarks.__main__ import main
from benchmarks.record import read

HAS_PEER = find_spec("sentence_transformers") is not None
HAS_TRAINER = HAS_PEER and find_spec("datasets") is not None and find_spec("accelerate") is not None


def run(case: str, model: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What a quick run and its workers write to the terminal."""
    status = main([case, "--quick", "--model", str(model), "--out", str(out)])
    written = capfd.readouterr()
    assert status == 0, written.out[-2000:] + written.err[-4000:]
    return written.out


@pytest.mark.slow
def test_rerank(tiny_encoder_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = run("rerank", tiny_encoder_folder, tmp_path, capfd)
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


@pytest.mark.slow
def test_training(tiny_encoder_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = run("training", tiny_encoder_folder, tmp_path, capfd)
    rows, _ = read(next(tmp_path.glob("training--*.csv")))
    rates = {(row.provider, row.setting): row.p50 for row in rows if row.unit == "tokens/s"}
    assert {provider for provider, _ in rates} == {training.OURS, *([training.PEER] if HAS_TRAINER else [])}
    settings = {setting for _, setting in rates}
    assert len(settings) == 2
    assert {word for each in settings for word in each.split(", ")} >= set(training.PRECISIONS)
    assert min(rates.values()) > 0
    assert (f"skipped: {training.PEER}" in output) != HAS_TRAINER


@pytest.mark.parametrize("arguments", [["nothing"], ["rerank", "--device", "abacus"]])
def test_unknown_words_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
