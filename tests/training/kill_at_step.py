"""A callback that a configuration can name: the process dies at a step, as by a power cut."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytorch_lightning as pl


class KillAtStep(pl.Callback):
    """Send this process SIGKILL once so many optimizer steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Die, before the step is logged or saved."""
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
