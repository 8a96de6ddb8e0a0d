"""Training a ranker: model, loss and metrics, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytorch_lightning as pl
from torch import Tensor, nn
from torch.optim import AdamW

from rankgrad._checks import InputError
from rankgrad.data.collate import ImageFeatures, LateInteractionFeatures, ListBatch
from rankgrad.metrics import NDCG, ReciprocalRank
from rankgrad.training._score_axes import check_loss, loss_of
from rankgrad.training.backbone import compile_backbone, keep_few_activations
from rankgrad.training.gather import Candidates, across_processes, check_process_group
from rankgrad.training.grad_cache import cached_scores, embed, split_model
from rankgrad.training.meters import PerQuery
from rankgrad.training.optim import (
    Decay,
    check_at_least_0,
    keep_own_rates,
    learning_rate_factor,
    parameter_groups,
    set_learning_rates,
)
from rankgrad.training.sharding import check_strategy, shard

Target = Literal["labels", "teacher_scores"]


class Ranker(pl.LightningModule):
    """Fit a model's scores of candidate lists with a loss, and measure it by metrics on validation lists.

    Logs ``train/loss`` and ``train/learning_rate`` a step, and ``val/<metric>`` (``val/nDCG@10``) a validation.

    Args:
        model: called with a batch's features, gives scores ``[queries, candidates]``.
        loss: called with scores, targets and mask.
        target: what the loss compares the scores to; ``teacher_scores`` for distillation.
        metrics: their ``name`` is what they are logged under.
        learning_rate: peak rate of AdamW.
        weight_decay: of matrices; biases and norms are left alone.
        warmup: below 1 a share of all steps, from 1 on a number of steps.
        decay: how the rate falls after the warm-up.
        head_learning_rate: peak rate of what lies outside ``model.encoder``, or ``model.encoders``; None =
            ``learning_rate``.
        grad_cache_tokens: encode so many tokens (padding included), or patches of images, at a time and keep the
            embeddings alone, see :func:`rankgrad.training.cached_scores`; None = the whole batch at once. For models
            that read queries and documents apart.
        cross_device_negatives: let the documents of all processes be candidates of every query, see
            :func:`rankgrad.training.across_processes`; needs ``data.in_batch_negatives``.
        gradient_checkpointing: make the backbone's activations anew, layer by layer, in the backward pass.
        compile: compile the backbone, for lengths and batch sizes that change.

    Raises:
        InputError: for options that the model cannot have, rates below 0, two metrics of one name, or a loss that
            cannot read scores of several exits or widths; when the loss is no longer finite, or teacher scores are
            wanted and the batch has none; for a checkpoint of another model, strategy or grouping of parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        *,
        target: Target = "labels",
        metrics: Sequence[nn.Module] = (NDCG(k=10), ReciprocalRank(k=10)),
        learning_rate: float = 2e-5,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        decay: Decay = "linear",
        head_learning_rate: float | None = None,
        grad_cache_tokens: int | None = None,
        cross_device_negatives: bool = False,
        gradient_checkpointing: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if target not in ("labels", "teacher_scores"):
            raise InputError(f"target={target!r}: choose labels or teacher_scores")
        check_at_least_0(
            learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup, head_learning_rate=head_learning_rate
        )
        if grad_cache_tokens is not None and grad_cache_tokens < 1:
            raise InputError(f"grad_cache_tokens={grad_cache_tokens}: allow at least as many as the longest text")
        if grad_cache_tokens is not None or cross_device_negatives:
            split_model(model)
        if cross_device_negatives and target != "labels":
            raise InputError(f"cross_device_negatives=True with target={target}: no teacher saw those pairs; drop one")
        check_loss(model, loss)
        names = [metric.name for metric in metrics]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"metrics: {twice} is the name of two, which would be logged as one: leave one of them out"
            )
        self.model = model
        self.loss = loss
        self.target = target
        self.metrics = nn.ModuleList(metrics)
        self.meters = nn.ModuleList(PerQuery() for _ in metrics)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.decay: Decay = decay
        self.head_learning_rate = head_learning_rate
        self.grad_cache_tokens = grad_cache_tokens
        self.cross_device_negatives = cross_device_negatives
        if gradient_checkpointing:
            keep_few_activations(model)
        if compile:
            compile_backbone(model)

    def configure_model(self) -> None:
        """Shard the model where the strategy asks for it (FSDP)."""
        if self.device_mesh is not None:
            for part in (self.model, self.loss):
                shard(part, self.device_mesh["data_parallel"])

    def forward(self, features: Any) -> Tensor:
        """Scores ``[queries, candidates]``."""
        return self.model(features)

    def on_fit_start(self) -> None:
        """Switch dropout on: pretrained models are loaded in evaluation mode."""
        if self.cross_device_negatives:
            check_process_group()
        self.train()

    def training_step(self, batch: ListBatch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        candidates = self._candidates(batch)
        loss = loss_of(self.loss, candidates.scores, candidates.labels, candidates.mask)
        if not loss.isfinite():
            raise InputError(
                f"the loss is {loss.item()} at step {self.trainer.global_step}: lower learning_rate "
                f"(now {self.learning_rate:g}), or use trainer.precision=32-true (now {self.trainer.precision})"
            )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.labels))
        self.log("train/learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=len(batch.labels))
        return loss * candidates.weight

    def validation_step(self, batch: ListBatch, batch_idx: int) -> None:
        """Add the batch's queries to the metrics."""
        scores = self.model(batch.features)
        for metric, meter in zip(self.metrics, self.meters, strict=True):
            meter.update(metric(scores, batch.labels, batch.mask, judged=batch.judged))  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """Log the mean of each metric over the queries."""
        for metric, meter in zip(self.metrics, self.meters, strict=True):
            # Already of all processes: told so, Lightning does not warn that it might be of one alone.
            self.log(f"val/{metric.name}", meter.compute(), prog_bar=True, sync_dist=True)  # type: ignore[operator]
            meter.reset()  # type: ignore[operator]

    def configure_optimizers(self) -> AdamW:
        """AdamW over the parameter groups of the model, and over what the loss learns."""
        groups = parameter_groups(
            self.model,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            head_learning_rate=self.head_learning_rate,
        )
        # A loss that learns (the thresholds of ordinal regression) starts from nothing, as a head does.
        learnt = [parameter for parameter in self.loss.parameters() if parameter.requires_grad]
        if learnt:
            rate = self.learning_rate if self.head_learning_rate is None else self.head_learning_rate
            groups.append({"params": learnt, "lr": rate, "peak": rate, "weight_decay": 0.0})
        optimizer = AdamW(groups)
        keep_own_rates(optimizer)
        return optimizer

    def on_train_batch_start(self, batch: ListBatch, batch_idx: int) -> None:
        """Set the learning rate: a function of the step alone, so a resumed run has nothing to restore."""
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise InputError(
                "a run without end has no learning rate schedule: set trainer.max_epochs or trainer.max_steps"
            )
        factor = learning_rate_factor(self.trainer.global_step, total=int(steps), warmup=self.warmup, decay=self.decay)
        for optimizer in self.trainer.optimizers:
            set_learning_rates(optimizer, factor)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what the model is made of, and whether it was split."""
        checkpoint["modules"] = _parts(self.model)
        checkpoint["sharded"] = self.device_mesh is not None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another model or strategy before anything is loaded."""
        check_strategy(checkpoint, str(self.trainer.ckpt_path), sharded=self.device_mesh is not None)
        there, here = checkpoint.get("modules", {}), _parts(self.model)
        if "state_dict" in checkpoint:  # A strategy that shards has loaded it by now, and taken it out.
            there, here = there | _shapes(checkpoint["state_dict"]), here | _shapes(self.state_dict())
        wrong = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
        if wrong:
            raise InputError(
                f"{self.trainer.ckpt_path} is a checkpoint of another model: {wrong[0]} is "
                f"{there.get(wrong[0], 'absent')} there and {here.get(wrong[0], 'absent')} here ({len(wrong)} such); "
                "resume with the configuration it was made with"
            )

    def _candidates(self, batch: ListBatch) -> Candidates:
        """What the loss compares, in the way that the options ask for."""
        if self.cross_device_negatives:
            embedded = embed(self.model, batch.features, micro_batch_tokens=self.grad_cache_tokens)
            return across_processes(self.model, embedded, batch)
        if self.grad_cache_tokens is None:
            scores = self.model(batch.features)
        else:
            scores = cached_scores(self.model, batch.features, micro_batch_tokens=self.grad_cache_tokens)
        return Candidates(scores, self._targets(batch), batch.mask, 1.0)

    def _targets(self, batch: ListBatch) -> Tensor:
        if self.target == "labels":
            return batch.labels
        if batch.teacher_scores is None:
            if isinstance(batch.features, LateInteractionFeatures | ImageFeatures) and batch.features.slots is None:
                raise InputError(
                    "target=teacher_scores with in_batch_negatives=True: no teacher saw the documents of other lists; "
                    "drop one"
                )
            raise InputError(
                "target=teacher_scores, but the training lists have none: add them with "
                "rankgrad.training.teacher_scores, or set target=labels"
            )
        return batch.teacher_scores


def _parts(model: nn.Module) -> dict[str, str]:
    # A sharded module has a class made for it, named after its own.
    names = {name: type(part).__qualname__.removeprefix("FSDP") for name, part in model.named_modules()}
    return {f"module {name or 'model'}": kind for name, kind in names.items()}


def _shapes(state: dict[str, Tensor]) -> dict[str, str]:
    return {name: str(list(value.shape)) for name, value in state.items()}
