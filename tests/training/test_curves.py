from __future__ import annotations

import math
from pathlib import Path

import pytest

from rankgrad.training.curves import CurveLogger, read_curves


def test_floats_come_back_as_they_were(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e-300, math.pi, 1 / 3]
    logger = CurveLogger(tmp_path / "run")
    for step, value in enumerate(values):
        logger.log_metrics({"train/loss": value}, step)
    rows = read_curves(logger.path)
    assert [float(row["train/loss"]) for row in rows] == values
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3]


def test_a_column_that_comes_later(tmp_path: Path) -> None:
    logger = CurveLogger(tmp_path)
    logger.log_metrics({"epoch": 0, "train/loss": 2.0}, 0)
    logger.log_metrics({"epoch": 0, "val/MRR@10": 0.5}, 0)
    logger.log_metrics({"epoch": 1, "train/loss": 1.0}, 1)
    assert logger.path.read_text().splitlines() == [
        "step,epoch,train/loss,val/MRR@10",
        "0,0,2.0,",
        "0,0,,0.5",
        "1,1,1.0,",
    ]


@pytest.mark.parametrize("tail", ["", "3,0.", "3,0.7,0.2"], ids=["whole", "cut", "cut without a newline"])
def test_a_resumed_run_writes_on_from_its_first_step(tmp_path: Path, tail: str) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/nDCG@10\n0,0.5,\n1,0.4,\n1,,0.9\n2,0.3,\n" + tail)
    logger = CurveLogger(tmp_path)
    logger.log_metrics({"train/loss": 0.25}, 2)
    assert read_curves(logger.path) == [
        {"step": "0", "train/loss": "0.5"},
        {"step": "1", "train/loss": "0.4"},
        {"step": "1", "val/nDCG@10": "0.9"},
        {"step": "2", "train/loss": "0.25"},
    ]


def test_what_lightning_asks(tmp_path: Path) -> None:
    logger = CurveLogger(tmp_path / "mine")
    assert (logger.name, logger.version, logger.save_dir) == ("mine", None, str(tmp_path / "mine"))
    logger.log_hyperparams({"a": 1})
    assert read_curves(logger.path) == []
