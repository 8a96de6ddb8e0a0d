"""Losses that have to know of the exits or the widths that a model scores with."""

from __future__ import annotations

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses import EarlyExitLoss
from rankgrad.training.matryoshka import MatryoshkaLoss


def check_loss(model: nn.Module, loss: nn.Module) -> None:
    """Refuse a loss of this library that reads one table of scores, where the model gives several.

    What another loss does with them shows when it is called, see :func:`loss_of`.

    Raises:
        InputError: where the loss has to be wrapped.
    """
    foreign = not type(loss).__module__.startswith("rankgrad.losses.")
    if foreign or any(isinstance(part, EarlyExitLoss | MatryoshkaLoss) for part in loss.modules()):
        return
    if getattr(model, "matryoshka_dims", None):
        raise InputError(
            f"matryoshka_dims: in training the model gives scores of each width, which {type(loss).__name__} cannot "
            "read; wrap it in rankgrad.training.MatryoshkaLoss"
        )
    if getattr(getattr(model, "options", None), "exits", None):
        raise InputError(
            f"exits: in training the model gives scores of each exit, which {type(loss).__name__} cannot read; wrap it "
            "in rankgrad.losses.EarlyExitLoss"
        )


def loss_of(loss: nn.Module, scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """The loss of a batch.

    Raises:
        InputError: what the loss says; of scores with one more axis than the targets, that it has to be wrapped.
    """
    try:
        return loss(scores, targets, mask)
    except InputError as error:
        several = isinstance(scores, Tensor) and scores.dim() == targets.dim() + 1
        if not several or isinstance(loss, EarlyExitLoss | MatryoshkaLoss):
            raise
        raise InputError(
            f"the model gives {len(scores)} tables of scores (exits, or matryoshka_dims), which {type(loss).__name__} "
            "cannot read; wrap it in rankgrad.losses.EarlyExitLoss or rankgrad.training.MatryoshkaLoss"
        ) from error
