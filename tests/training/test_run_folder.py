from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.training.checkpoints import checkpoint_path
from rankgrad.training.run_folder import RunFolder


@pytest.fixture
def used(tmp_path: Path) -> RunFolder:
    """A folder that a run of 20 steps left, killed while it wrote."""
    run = RunFolder(tmp_path / "run")
    run.best.mkdir(parents=True)
    run.checkpoints.mkdir()
    for step in (10, 20):
        torch.save({"state_dict": {}, "global_step": step, "loops": {}}, checkpoint_path(run.checkpoints, step))
    run.curves.write_text("step,train/loss\n0,1.0\n")
    (run.checkpoints / ".step-00000030.ckpt.1.part").touch()
    (run.path / ".best.abc.part").mkdir()
    (run.path / "notes.txt").touch()
    return run


def left(run: RunFolder) -> set[str]:
    return {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}


def test_a_new_folder_starts_from_the_beginning(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "new").begin() is None


def test_resuming_an_empty_folder_starts_from_the_beginning_and_says_so(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert RunFolder(tmp_path / "new").begin(resume=True) is None
    assert "starting from the beginning" in caplog.text


def test_resuming_takes_the_last_checkpoint_and_clears_what_the_kill_left(used: RunFolder, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert used.begin(resume=True) == checkpoint_path(used.checkpoints, 20)
    assert caplog.text == ""
    kept = {"checkpoints/step-00000010.ckpt", "checkpoints/step-00000020.ckpt", "metrics.csv", "notes.txt"}
    assert left(used) == kept
    assert not (used.path / ".best.abc.part").exists()


def test_the_best_model_caught_between_two_names_is_put_back(used: RunFolder, caplog) -> None:
    used.best.rename(used.path / ".best.abc.old")
    (used.path / ".best.abc.old" / "model.safetensors").write_text("the only one")
    with caplog.at_level(logging.WARNING):
        used.begin(resume=True)
    assert (used.best / "model.safetensors").read_text() == "the only one"
    assert not list(used.path.glob(".best.*"))
    assert "best was being replaced" in caplog.text
    (used.path / ".best.abc.old").mkdir()
    used.begin(resume=True)
    assert (used.best / "model.safetensors").exists()


def test_a_damaged_checkpoint_is_set_aside_and_named(used: RunFolder, caplog) -> None:
    last = checkpoint_path(used.checkpoints, 20)
    last.write_bytes(last.read_bytes()[:50])
    with caplog.at_level(logging.WARNING):
        assert used.begin(resume=True) == checkpoint_path(used.checkpoints, 10)
    assert "step-00000020.ckpt is damaged: going on from step-00000010.ckpt" in caplog.text
    assert "checkpoints/step-00000020.damaged" in left(used)


def test_a_run_is_not_replaced_unasked(used: RunFolder) -> None:
    before = left(used)
    with pytest.raises(InputError, match=r"already holds a run: .*--resume.*--overwrite.*--run_folder"):
        used.begin()
    assert left(used) == before


def test_overwriting_removes_the_run_and_nothing_else(used: RunFolder) -> None:
    assert used.begin(overwrite=True) is None
    assert left(used) == {"notes.txt"}


def test_what_the_next_run_has_written_already_stays(used: RunFolder) -> None:
    events = used.path / "tensorboard"
    events.mkdir()
    (events / "old").touch()
    earlier = used.earlier()
    (events / "new").touch()
    used.begin(overwrite=True, earlier=earlier)
    assert left(used) == {"notes.txt", "tensorboard/new"}


def test_what_cannot_be_asked(used: RunFolder) -> None:
    with pytest.raises(InputError, match="choose one"):
        used.begin(resume=True, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        RunFolder(used.curves).begin()


def test_a_run_without_a_model_is_told_from_one_without_a_step(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    trainer: Any = SimpleNamespace(max_epochs=1, max_steps=-1, limit_train_batches=1.0, is_global_zero=True)
    with pytest.raises(InputError, match="best is not there: no validation gave a number"):
        run.check_trained(trainer)
    run.best.mkdir(parents=True)
    run.check_trained(trainer)
    trainer.limit_train_batches = 0
    with pytest.raises(InputError, match=r"nothing was trained: .*limit_train_batches=0"):
        run.check_trained(trainer)
