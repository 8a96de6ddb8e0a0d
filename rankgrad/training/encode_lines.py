"""How far the encoding of a corpus is, where no bar can be drawn."""

from __future__ import annotations

import sys
from typing import Any, TextIO

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar


class EncodingLines(ProgressBar):
    """Write a line now and then.

    Args:
        lines: how many lines the whole run gets.
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

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write a line where one is due."""
        total, done = int(trainer.num_predict_batches[dataloader_idx]), batch_idx + 1
        if self._enabled and (done % max(total // self.lines, 1) == 0 or done == total):
            share = f" of the first of {trainer.world_size} processes" if trainer.world_size > 1 else ""
            print(f"encoded {done}/{total} batches{share}", file=self.file or sys.stderr, flush=True)
