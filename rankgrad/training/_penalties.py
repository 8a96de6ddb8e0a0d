"""Adding to the loss of a batch on its way to the backward pass."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import Tensor


def add_penalty(trainer: pl.Trainer, loss: Tensor, penalty: Tensor) -> None:
    """Add a penalty to the loss that Lightning is about to differentiate, in place: Lightning goes on with that one.

    By then the loss is a share of those that are accumulated and, in float16, multiplied by the scaler's factor; the
    penalty must be too.
    """
    share = penalty / trainer.accumulate_grad_batches
    plugin: Any = trainer.precision_plugin
    scaler = getattr(plugin, "scaler", None)
    loss.add_(share if scaler is None else scaler.scale(share))
