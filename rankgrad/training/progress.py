"""How far a run is: a bar in a terminal, plain lines in a log file."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar


class ProgressLines(ProgressBar):
    """Write a line now and then, and one a validation: what a bar would be where nothing can be redrawn.

    Args:
        lines: how many lines the whole training or prediction gets, validations apart.
        file: where they go; None = standard error.
    """

    def __init__(self, *, lines: int = 20, file: TextIO | None = None) -> None:
        super().__init__()
        self.lines = lines
        self.file = file
        self._enabled = True

    def disable(self) -> None:
        """Be silent, as Lightning asks of all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Speak again."""
        self._enabled = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line where one is due."""
        total = trainer.estimated_stepping_batches
        if trainer.global_step % max(int(total // self.lines), 1) == 0:
            self._write(trainer, pl_module, "train/")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the validation found."""
        if not trainer.sanity_checking:
            self._write(trainer, pl_module, "val/")

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write a line where one is due; of several processes the first speaks of its share."""
        total, done = int(trainer.num_predict_batches[dataloader_idx]), batch_idx + 1
        if self._enabled and (done % max(total // self.lines, 1) == 0 or done == total):
            share = f" of the first of {trainer.world_size} processes" if trainer.world_size > 1 else ""
            print(f"encoded {done}/{total} batches{share}", file=self.file or sys.stderr, flush=True)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, prefix: str) -> None:
        if self._enabled:
            metrics = self.get_metrics(trainer, pl_module).items()
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics if name.startswith(prefix))
            step = f"step {trainer.global_step}/{trainer.estimated_stepping_batches}"
            print(f"{step}  {values}", file=self.file or sys.stderr, flush=True)


def progress_bar() -> ProgressBar:
    """A bar where standard error is a terminal, else lines."""
    return TQDMProgressBar() if sys.stderr.isatty() else ProgressLines()
