"""The training process of rankgrad: ``Ranker`` in Lightning, batches by ``ListCollate``."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from benchmarks.measure import memory, peak_memory
from benchmarks.workers import answer
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.losses import InfoNCELoss, SoftmaxLoss
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.training import Ranker, quiet_lightning


class _Clock(pl.Callback):
    """Seconds from the end of one step to the end of the next: loading, tokenization and update are inside."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.ends.append(time.perf_counter())

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        self.ends.append(time.perf_counter())


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train on the job's batches: first loss (dropout off), seconds a step, peak memory."""
    pair = job["kind"] == "cross-encoder"
    model = CrossEncoder.from_pretrained(job["folder"]) if pair else ColBERT.from_pretrained(job["folder"])
    collate = ListCollate(model.tokenizer, in_batch_negatives=not pair)
    ranker = Ranker(model, SoftmaxLoss() if pair else InfoNCELoss(), metrics=())
    lists = [_lists(each) for each in job["data"]]
    half = job["precision"] == "bf16"
    batch = collate(lists[0])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = float(ranker.loss(model.eval()(batch.features), batch.labels, batch.mask))
    before, clock = memory(), _Clock()
    with quiet_lightning():
        pl.seed_everything(0, verbose=False)
        trainer = pl.Trainer(
            max_steps=len(lists),
            accelerator="cpu",
            devices=1,
            precision="bf16-mixed" if half else "32-true",
            gradient_clip_val=1.0,
            limit_val_batches=0,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        rows = [one for each in lists for one in each]
        trainer.fit(ranker, DataLoader(rows, batch_size=len(lists[0]), collate_fn=collate))  # type: ignore[arg-type]
    seconds = [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {"loss": loss, "seconds": seconds, "peak": peak_memory(), "growth": peak_memory() - before}


def _lists(batch: dict[str, Any]) -> list[CandidateList]:
    return [
        CandidateList(query, tuple(documents), (1.0, *([0.0] * (len(documents) - 1))))
        for query, documents in zip(batch["queries"], batch["documents"], strict=True)
    ]


if __name__ == "__main__":
    answer(work)
