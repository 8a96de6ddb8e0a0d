"""Holding learned pruning to the share of tokens that is wanted."""

from __future__ import annotations

from typing import Any, cast

import pytorch_lightning as pl

from rankgrad._checks import InputError
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.training._penalties import add_penalty


class KeepShare(pl.Callback):
    """Add a pruner's :func:`rankgrad.modules.keep_penalty` to the loss of each batch.

    Without it the gates of a :class:`rankgrad.modules.TokenPruner` learn to keep everything. The share is that of all
    documents of the batch together, so the penalty does not depend on how they are grouped (``group_size``,
    ``grad_cache_tokens``).

    Args:
        weight: of the penalty.

    Raises:
        InputError: for a weight that is not above 0, or a model without a ``pruner``.
    """

    def __init__(self, *, weight: float = 1.0) -> None:
        if not weight > 0:
            raise InputError(f"weight={weight}: the penalty needs a weight above 0")
        self.weight = weight

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a model without a pruner."""
        if getattr(pl_module.model, "pruner", None) is None:
            raise InputError(
                f"{type(pl_module.model).__name__} has no pruner: set keep_share, or take the callback out"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask the pruner to count."""
        _pruner(pl_module).counts = []

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        """Add the penalty."""
        pruner = _pruner(pl_module)
        penalty = pruner.penalty()
        if penalty is not None:
            add_penalty(trainer, loss, self.weight * penalty)
            pl_module.log("train/keep_penalty", penalty)
        pruner.counts = None


def _pruner(pl_module: pl.LightningModule) -> TokenPruner:
    return cast(TokenPruner, cast(Any, pl_module.model).pruner)
