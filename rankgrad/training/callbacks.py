"""What a run keeps: its checkpoints and its best model."""

from __future__ import annotations

import logging
from math import isnan
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from rankgrad._checks import InputError
from rankgrad.training.checkpoints import check_one_file, checkpoint_path, checkpoints_in
from rankgrad.training.sharding import whole

log = logging.getLogger(__name__)


class Checkpoints(Checkpoint):
    """Save the run every ``every_n_steps`` optimizer steps, at the end of each epoch, and at its own end.

    A step that a validation follows is saved after it, so that a resumed run neither skips nor repeats the validation.
    A run measured in steps (``max_steps``) has no ends of epochs but its last.

    Args:
        folder: where the checkpoints lie.
        every_n_steps: optimizer steps between two checkpoints.
        keep: how many of the last stay; with 2 a damaged one is no loss.

    Raises:
        InputError: for counts below 1; before training, for a strategy whose checkpoints are no files.
    """

    def __init__(self, folder: str | Path, *, every_n_steps: int = 100, keep: int = 2) -> None:
        if every_n_steps < 1 or keep < 1:
            raise InputError(f"every_n_steps={every_n_steps} and keep={keep}: both must be 1 or more")
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self.keep = keep
        self._saved = 0
        self._due = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse a strategy that writes folders."""
        check_one_file(trainer.strategy)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from the step resumed from."""
        self._saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when due, unless a validation or the end of the epoch comes next."""
        step, last = trainer.global_step, _last_batch(trainer)
        over = step == trainer.max_steps or (last and trainer.current_epoch + 1 == trainer.max_epochs)
        self._due |= step != self._saved and (over or step % self.every_n_steps == 0)
        accumulating = (batch_idx + 1) % trainer.accumulate_grad_batches != 0 and not last
        if self._due and not accumulating and not _ends_epoch(trainer) and not _validation_follows(trainer, batch_idx):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what was put off, where the epoch goes on."""
        if self._due and not trainer.sanity_checking and not _ends_epoch(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of the epoch, unless the run is measured in steps: see ``_ends_epoch``."""
        if trainer.max_steps == -1:
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step where another callback stopped the run on it."""
        if self._saved != trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        self._due, self._saved = False, trainer.global_step
        trainer.save_checkpoint(checkpoint_path(self.folder, trainer.global_step))
        if trainer.is_global_zero:
            for path in checkpoints_in(self.folder)[self.keep :]:
                path.unlink(missing_ok=True)


def _last_batch(trainer: pl.Trainer) -> bool:
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def _ends_epoch(trainer: pl.Trainer) -> bool:
    """Is this the last batch, and the state saved at the end of the epoch?

    Resumed from there, Lightning (2.6) begins a run measured in steps one epoch and one logged step too far; its last
    batch is saved as the others are.
    """
    return trainer.max_steps == -1 and _last_batch(trainer)


def _validation_follows(trainer: pl.Trainer, batch_idx: int) -> bool:
    epochs = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or trainer.val_check_batch in (None, float("inf")):
        return False
    if epochs is not None and (trainer.current_epoch + 1) % epochs:
        return False
    whole_run = epochs is None
    done = trainer.fit_loop.total_batch_idx if whole_run else batch_idx
    return (done + 1) % int(trainer.val_check_batch) == 0


class BestModel(pl.Callback):
    """Write the model as a folder for ``from_pretrained`` each time a validation beats all before it.

    A run without validation leaves its last model there. A validation without a value (NaN) beats none, and is
    logged.

    Args:
        folder: where the best model lies, complete at any moment.
        monitor: the logged value that decides; higher is better.
    """

    def __init__(self, folder: str | Path, *, monitor: str = "val/nDCG@10") -> None:
        self.folder = Path(folder)
        self.monitor = monitor
        self.best = float("-inf")
        self.step: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best value and its step."""
        return {"best": self.best, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best value before the kill."""
        self.best, self.step = state_dict["best"], state_dict["step"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget a best model that is no longer in its folder: the next one is written, however good."""
        if self.step is not None and trainer.strategy.broadcast(not self.folder.is_dir()):
            log.warning("%s is gone: the next validation's model becomes the best one", self.folder)
            self.best, self.step = float("-inf"), None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare, and write where better."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if self.monitor not in trainer.callback_metrics:
            logged = (
                ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/"))) or "nothing"
            )
            raise InputError(
                f"monitor={self.monitor!r} is not logged by validation, which logs {logged}: choose one of these"
            )
        value = float(trainer.callback_metrics[self.monitor])
        if isnan(value):
            log.warning(
                "%s is NaN at step %d: the best model stays what it was. Every validation query was left out, or the "
                "scores are not finite",
                self.monitor,
                trainer.global_step,
            )
        if value > self.best:
            self.best, self.step = value, trainer.global_step
            self._write(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last model where there was no validation."""
        if self.step is None:
            self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model: Any = pl_module.model
        with whole(model):
            if trainer.is_global_zero:
                model.save_pretrained(self.folder)
