"""Values that change in the course of a training."""

from __future__ import annotations

from typing import Any, Literal

import pytorch_lightning as pl

from rankgrad._checks import InputError


class AnnealTemperature(pl.Callback):
    """Lower ``model.temperature`` from ``start`` to ``end``, then make the maximum hard.

    ``t(step) = start * (end / start) ** p`` (geometric) or ``start + (end - start) * p`` (linear), where ``p`` grows
    from 0 to 1 over the first ``share`` of the steps; afterwards the temperature is None, the hard maximum. It is a
    function of the step alone, so a resumed run has nothing to restore.

    Args:
        start: of the first step, above 0; cosines differ by tenths, so 0.1 is soft and 0.01 almost hard.
        end: of the last soft step.
        share: part of the run that is soft.
        shape: how it falls.

    Raises:
        InputError: for values out of range, a model without a ``temperature``, or a run without an end.

    Example:
        >>> anneal = AnnealTemperature(start=0.4, end=0.1, share=0.5)
        >>> [anneal.temperature(step, total=10) for step in (0, 2, 4, 5)]
        [0.4, 0.2, 0.1, None]
    """

    def __init__(
        self,
        *,
        start: float = 0.1,
        end: float = 0.01,
        share: float = 0.8,
        shape: Literal["geometric", "linear"] = "geometric",
    ) -> None:
        if not start >= end > 0:
            raise InputError(f"start={start}, end={end}: temperatures fall, and stay above 0")
        if not 0 < share <= 1:
            raise InputError(f"share={share}: the soft part of a run is above 0 and at most 1")
        if shape not in ("geometric", "linear"):
            raise InputError(f"shape={shape!r} is unknown: choose geometric or linear")
        self.start, self.end, self.share, self.shape = start, end, share, shape

    def temperature(self, step: int, *, total: int) -> float | None:
        """The temperature of a step counted from 0, of ``total``; None = hard."""
        soft = max(round(self.share * total), 1)
        if step >= soft:
            return None
        part = step / (soft - 1) if soft > 1 else 1.0
        if self.shape == "linear":
            return self.start + (self.end - self.start) * part
        return self.start * (self.end / self.start) ** part

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a model without a temperature, and a run without an end."""
        if not hasattr(pl_module.model, "temperature"):
            raise InputError(f"{type(pl_module.model).__name__} has no temperature to lower: take the callback out")
        if trainer.max_epochs == -1 and trainer.max_steps == -1:
            raise InputError("a run without end has no last temperature: set trainer.max_epochs or trainer.max_steps")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the step's temperature."""
        total = int(trainer.estimated_stepping_batches)
        pl_module.model.temperature = self.temperature(trainer.global_step, total=total)  # type: ignore[union-attr, assignment]

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the model with the hard maximum."""
        pl_module.model.temperature = None  # type: ignore[union-attr, assignment]
