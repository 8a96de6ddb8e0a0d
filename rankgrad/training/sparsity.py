"""Holding a sparse encoder to few terms."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from torch import nn

from rankgrad._checks import InputError
from rankgrad.training._penalties import add_penalty


class SparsityPenalty(pl.Callback):
    """Add penalties of the queries' and the documents' weights to the loss of each batch.

    For :class:`rankgrad.models.SparseEncoder`, whose weights are dense without. The penalties grow with the square of
    the step until ``ramp_steps``, so that the encoder learns to rank before it learns to be sparse. Logs
    ``train/sparsity_penalty`` and the mean number of terms, ``train/query_terms`` and ``train/document_terms``.

    Args:
        queries: of weights ``[queries, terms]``, such as ``rankgrad.losses.FlopsPenalty(0.1)``; None = no penalty.
        documents: of weights ``[documents, terms]``; None = no penalty.
        ramp_steps: optimizer steps until the penalties count in full.

    Raises:
        InputError: for no penalty at all, steps below 0, or a model that gives no weights of terms.

    Reference:
        Formal, Piwowarski, Clinchant, "SPLADE: Sparse Lexical and Expansion Model for First Stage Ranking", SIGIR 2021.
    """

    def __init__(
        self, *, queries: nn.Module | None = None, documents: nn.Module | None = None, ramp_steps: int = 0
    ) -> None:
        if queries is None and documents is None:
            raise InputError("queries and documents are both None: give a penalty to at least one")
        if ramp_steps < 0:
            raise InputError(f"ramp_steps={ramp_steps}: expected at least 0")
        self.queries = queries
        self.documents = documents
        self.ramp_steps = ramp_steps

    def share(self, step: int) -> float:
        """How much the penalties count at an optimizer step, counted from 0."""
        return 1.0 if step >= self.ramp_steps else ((step + 1) / self.ramp_steps) ** 2

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a model without weights of terms."""
        if not hasattr(pl_module.model, "activations"):
            raise InputError(
                f"{type(pl_module.model).__name__} gives no weights of terms: train a SparseEncoder, or take the "
                "callback out"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ask the model for its weights."""
        _model(pl_module).activations = []

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Any) -> None:
        """Add the penalties."""
        model = _model(pl_module)
        for queries, documents in model.activations or []:
            total = queries.new_zeros(())
            for name, penalty, weights in (("query", self.queries, queries), ("document", self.documents, documents)):
                pl_module.log(f"train/{name}_terms", (weights > 0).float().sum(dim=-1).mean())
                if penalty is not None:
                    total = total + penalty(weights)
            total = self.share(trainer.global_step) * total
            add_penalty(trainer, loss, total)
            pl_module.log("train/sparsity_penalty", total)
        model.activations = None


def _model(pl_module: pl.LightningModule) -> Any:
    return pl_module.model
