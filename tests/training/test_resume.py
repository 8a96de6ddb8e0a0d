"""A run that was stopped goes on as if it had not been."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rankgrad._checks import InputError
from rankgrad.data import epoch_loader
from rankgrad.training import RunFolder, random_state, read_curves
from rankgrad.training.checkpoints import checkpoints_in

RUNS = {
    "validation an epoch": {},
    "validation within the epoch": {"val_check_interval": 3},
    "validation at checkpoints": {"val_check_interval": 2},
    "validation across epochs": {"check_val_every_n_epoch": None, "val_check_interval": 5},
    "no validation": {"limit_val_batches": 0},
    "accumulated gradients": {"accumulate_grad_batches": 2},
    "measured in steps": {"max_epochs": -1, "max_steps": 11},
    "bfloat16": {"precision": "bf16-mixed"},
}


def resume_from(checkpoint: Path, whole: RunFolder, folder: Path, train, **options) -> list[dict[str, str]]:
    """The curves of a run that finds one checkpoint, and the curves of the killed run up to its very end."""
    part = RunFolder(folder, checkpoint_every=2, tensorboard=False)
    part.checkpoints.mkdir(parents=True)
    shutil.copy(checkpoint, part.checkpoints)
    shutil.copy(whole.curves, part.curves)
    train(part, resume=True, **options)
    return read_curves(part.curves)


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS.keys())
def test_from_every_checkpoint_the_same_losses_follow(tmp_path: Path, train, options: dict) -> None:
    whole = RunFolder(tmp_path / "whole", checkpoint_every=2, keep=100, tensorboard=False)
    train(whole, **options)
    rows = read_curves(whole.curves)
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(set(losses)) == len(losses) > 4
    checkpoints = checkpoints_in(whole.checkpoints)
    assert len(checkpoints) >= 3
    for checkpoint in checkpoints:
        resumed = resume_from(checkpoint, whole, tmp_path / checkpoint.stem, train, **options)
        assert resumed == rows, f"resumed from {checkpoint.name}"


def test_what_a_loader_process_had_prepared_is_not_skipped(tmp_path: Path, train) -> None:
    whole = RunFolder(tmp_path / "whole", checkpoint_every=2, keep=100, tensorboard=False)
    train(whole, max_epochs=1)
    with_worker = {"max_epochs": 1, "data": {"workers": 1}, "limit_val_batches": 0}
    first = checkpoints_in(whole.checkpoints)[-1]
    assert first.name == "step-00000002.ckpt"
    resumed = resume_from(first, whole, tmp_path / "part", train, **with_worker)
    assert [row for row in resumed if "train/loss" in row] == [
        row for row in read_curves(whole.curves) if "train/loss" in row
    ]


@pytest.mark.parametrize("forgotten", ["RandomState", "EpochLoader"])
def test_the_test_notices_what_is_not_restored(tmp_path: Path, train, monkeypatch, forgotten: str) -> None:
    whole = RunFolder(tmp_path / "whole", checkpoint_every=2, keep=100, tensorboard=False)
    train(whole)
    owner = {"RandomState": random_state.RandomState, "EpochLoader": epoch_loader.EpochLoader}[forgotten]
    monkeypatch.setattr(owner, "load_state_dict", lambda self, state: None)
    resumed = resume_from(checkpoints_in(whole.checkpoints)[-1], whole, tmp_path / "part", train)
    assert resumed != read_curves(whole.curves)


def test_a_longer_run_goes_on_from_the_end(tmp_path: Path, train) -> None:
    run = RunFolder(tmp_path / "run", checkpoint_every=100, tensorboard=False)
    train(run, max_epochs=1, ranker={"decay": "constant", "warmup": 0})
    trainer = train(run, resume=True, max_epochs=3, ranker={"decay": "constant", "warmup": 0})
    whole = RunFolder(tmp_path / "whole", checkpoint_every=100, tensorboard=False)
    train(whole, max_epochs=3, ranker={"decay": "constant", "warmup": 0})
    assert trainer.global_step == 18
    assert read_curves(run.curves) == read_curves(whole.curves)


STEPS = {
    "at the end of an epoch": (6, {}),
    "within an epoch": (3, {}),
    "before an epoch without validation": (6, {"check_val_every_n_epoch": 2}),
    "by the last, smaller batch of gradients": (2, {"accumulate_grad_batches": 4}),
}


@pytest.mark.parametrize(("steps", "options"), STEPS.values(), ids=STEPS.keys())
def test_a_longer_run_goes_on_from_the_last_step(tmp_path: Path, train, steps: int, options: dict) -> None:
    options = {"max_epochs": -1, "ranker": {"decay": "constant", "warmup": 0}, **options}
    run = RunFolder(tmp_path / "run", checkpoint_every=100, tensorboard=False)
    train(run, max_steps=steps, **options)
    assert [path.name for path in checkpoints_in(run.checkpoints)] == [f"step-{steps:08d}.ckpt"]
    train(run, resume=True, max_steps=steps + 2, **options)
    whole = RunFolder(tmp_path / "whole", checkpoint_every=100, tensorboard=False)
    train(whole, max_steps=steps + 2, **options)
    assert read_curves(run.curves) == read_curves(whole.curves)


def test_another_rate_takes_effect(tmp_path: Path, train) -> None:
    run = RunFolder(tmp_path, checkpoint_every=100, tensorboard=False)
    constant = {"decay": "constant", "warmup": 0}
    train(run, max_steps=2, limit_val_batches=0, ranker=constant)
    changed = {"learning_rate": 0.25, "weight_decay": 0.5, **constant}
    trainer = train(run, resume=True, max_steps=3, limit_val_batches=0, ranker=changed)
    assert [group["weight_decay"] for group in trainer.optimizers[0].param_groups] == [0.5, 0.0]
    rates = [float(row["train/learning_rate"]) for row in read_curves(run.curves)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.25])
    with pytest.raises(InputError, match=r"in groups of \[\d+, \d+\], and this run in groups of \[\d+, \d+, \d"):
        train(run, resume=True, max_steps=4, ranker={"head_learning_rate": 1e-4})
