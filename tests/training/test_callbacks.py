from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import CrossEncoder
from rankgrad.training import BestModel, Checkpoints, ProgressLines, Ranker, RunFolder, read_curves
from rankgrad.training.checkpoints import checkpoints_in, read_checkpoint

VALUES = [0.2, 0.5, float("nan"), 0.4, 0.5, 0.6]


@pytest.fixture
def validations(monkeypatch) -> list[dict[str, torch.Tensor]]:
    """Make the i-th validation log VALUES[i]; collect the model's weights at each."""
    weights: list[dict[str, torch.Tensor]] = []

    def log(self: Ranker) -> None:
        if not self.trainer.sanity_checking:
            self.log("val/nDCG@10", torch.tensor(VALUES[len(weights)]))
            weights.append({name: value.clone() for name, value in self.model.state_dict().items()})

    monkeypatch.setattr(Ranker, "on_validation_epoch_end", log)
    return weights


def same(model: CrossEncoder, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("epochs", "best"), [(1, 0), (2, 1), (3, 1), (5, 1), (6, 5)])
def test_the_best_model_is_kept_not_the_last(train, tmp_path: Path, validations, epochs: int, best: int) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=epochs)
    assert len(validations) == epochs
    assert same(CrossEncoder.from_pretrained(run.best), validations[best])


def test_the_best_value_survives_a_stop(train, tmp_path: Path, validations, caplog) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=2)
    assert caplog.text == ""
    train(run, max_epochs=4, resume=True)
    assert same(CrossEncoder.from_pretrained(run.best), validations[1])
    assert "val/nDCG@10 is NaN at step 18: the best model stays what it was" in caplog.text


def test_a_best_model_that_is_gone_is_replaced_by_the_next(train, tmp_path: Path, validations, caplog) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=3)
    shutil.rmtree(run.best)
    train(run, max_epochs=4, resume=True)
    assert "best is gone" in caplog.text
    assert same(CrossEncoder.from_pretrained(run.best), validations[3])


def test_what_is_checked_before_training_is_no_validation(train, tmp_path: Path, validations) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    train(run, max_epochs=1, num_sanity_val_steps=1)
    assert same(CrossEncoder.from_pretrained(run.best), validations[0])


def test_without_validation_the_last_model_is_left(train, tmp_path: Path) -> None:
    run = RunFolder(tmp_path, tensorboard=False)
    trainer = train(run, max_epochs=1, limit_val_batches=0)
    assert same(CrossEncoder.from_pretrained(run.best), trainer.lightning_module.model.state_dict())


def test_a_value_that_is_not_logged(train, tmp_path: Path) -> None:
    run = RunFolder(tmp_path, tensorboard=False, monitor="val/recall")
    with pytest.raises(InputError, match=r"monitor='val/recall' .* logs val/MRR@10, val/nDCG@10: choose one"):
        train(run)


@pytest.mark.parametrize(
    ("every", "keep", "steps"),
    [(2, 99, [2, 4, 6, 8, 10, 12]), (4, 99, [4, 6, 8, 12]), (5, 3, [6, 10, 12]), (99, 1, [12])],
)
def test_how_many_checkpoints_and_when(train, tmp_path: Path, every: int, keep: int, steps: list[int]) -> None:
    run = RunFolder(tmp_path, checkpoint_every=every, keep=keep, tensorboard=False)
    train(run)
    paths = checkpoints_in(run.checkpoints)
    assert sorted(int(path.stem.removeprefix("step-")) for path in paths) == steps
    assert [read_checkpoint(path)["global_step"] for path in reversed(paths)] == steps


def test_a_run_that_ends_before_its_last_step_is_saved(train, tmp_path: Path, monkeypatch) -> None:
    epoch = RunFolder(tmp_path / "epoch", tensorboard=False)
    train(epoch, max_epochs=1, max_steps=99)
    assert [path.name for path in checkpoints_in(epoch.checkpoints)] == ["step-00000006.ckpt"]
    monkeypatch.setattr(Ranker, "on_train_batch_end", lambda self, *_: setattr(self.trainer, "should_stop", True))
    stopped = RunFolder(tmp_path / "stopped", tensorboard=False)
    train(stopped, max_epochs=-1, max_steps=99, limit_val_batches=0)
    assert [path.name for path in checkpoints_in(stopped.checkpoints)] == ["step-00000001.ckpt"]


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"keep": 0}])
def test_counts_below_one(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="both must be 1 or more"):
        Checkpoints(tmp_path, **options)


def test_lines_where_there_is_no_terminal(train, tmp_path: Path) -> None:
    file = io.StringIO()
    run = RunFolder(tmp_path, tensorboard=False)
    trainer = train(run, max_epochs=1)
    lines = ProgressLines(lines=3, file=file)
    lines.setup(trainer, trainer.lightning_module, "fit")
    lines.on_train_batch_end(trainer, trainer.lightning_module, None, None, 5)
    lines.on_validation_end(trainer, trainer.lightning_module)
    last = read_curves(run.curves)
    loss = next(row["train/loss"] for row in reversed(last) if "train/loss" in row)
    metrics = next(row for row in reversed(last) if "val/nDCG@10" in row)
    assert file.getvalue().splitlines() == [
        f"step 6/6  train/loss {float(loss):.4g}",
        f"step 6/6  val/nDCG@10 {float(metrics['val/nDCG@10']):.4g}  val/MRR@10 {float(metrics['val/MRR@10']):.4g}",
    ]
    lines.disable()
    lines.on_validation_end(trainer, trainer.lightning_module)
    assert len(file.getvalue().splitlines()) == 2


def test_the_model_is_written_by_the_first_process_only(tmp_path: Path) -> None:
    trainer = type("Trainer", (), {"is_global_zero": False})()
    module = type("Module", (), {"model": torch.nn.Linear(1, 1)})()
    BestModel(tmp_path / "best").on_train_end(trainer, module)
    assert list(tmp_path.iterdir()) == []
