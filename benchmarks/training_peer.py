"""The training process of sentence-transformers: its own trainer, collator and losses."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from typing import Any

import torch
from datasets import Dataset  # pyright: ignore[reportMissingImports]  (of the bench extra alone)
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import ListNetLoss
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.multi_vector_encoder.trainer import MultiVectorEncoderTrainer
from sentence_transformers.multi_vector_encoder.training_args import MultiVectorEncoderTrainingArguments
from transformers import PrinterCallback, TrainerCallback

from benchmarks.measure import memory, peak_memory
from benchmarks.workers import answer
from rankgrad.models._folder import quiet

# ListNet compares with the softmax of the labels; of 100 and 0 that is 1 and 0, the labels of our softmax loss.
_RELEVANT = 100.0


class _InOrder(DefaultBatchSampler):
    """The rows as they come, so that both trainers see the same batches."""

    def __init__(self, dataset: Any, **options: Any) -> None:
        super().__init__(range(len(dataset)), **options)  # type: ignore[arg-type]
        self.sampler = range(len(dataset))  # type: ignore[assignment]


class _Clock(TrainerCallback):
    """Seconds from the end of one step to the end of the next, as the other process takes them."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_begin(self, *arguments: Any, **options: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *arguments: Any, **options: Any) -> None:
        self.ends.append(time.perf_counter())


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Train on the job's batches: first loss (dropout off), seconds a step, peak memory."""
    pair = job["kind"] == "cross-encoder"
    half = job["precision"] == "bf16"
    with tempfile.TemporaryDirectory() as folder, quiet():
        options = _options(folder, job, half)
        clock = _Clock()
        rows = [row for batch in job["data"] for row in _rows(batch, pair=pair)]
        common: dict[str, Any] = {"train_dataset": Dataset.from_list(rows), "callbacks": [clock]}
        if pair:
            model = CrossEncoder(job["folder"], device="cpu", max_length=512)
            arguments = CrossEncoderTrainingArguments(**options)
            trainer = CrossEncoderTrainer(model=model, args=arguments, loss=ListNetLoss(model), **common)
        else:
            model = MultiVectorEncoder(job["folder"], device="cpu")
            arguments = MultiVectorEncoderTrainingArguments(**options)
            loss = MultiVectorMultipleNegativesRankingLoss(model)
            trainer = MultiVectorEncoderTrainer(model=model, args=arguments, loss=loss, **common)
        trainer.remove_callback(PrinterCallback)
        first = _first_loss(trainer, rows[: len(job["data"][0]["queries"])], half=half)
        before = memory()
        trainer.train()
    seconds = [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {"loss": first, "seconds": seconds, "peak": peak_memory(), "growth": peak_memory() - before}


def _options(folder: str, job: dict[str, Any], half: bool) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "per_device_train_batch_size": len(job["data"][0]["queries"]),
        "max_steps": len(job["data"]),
        "learning_rate": 2e-5,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "warmup_steps": round(0.1 * len(job["data"])),
        "bf16": half,
        "use_cpu": True,
        "batch_sampler": _InOrder,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _rows(batch: dict[str, Any], *, pair: bool) -> Iterator[dict[str, Any]]:
    for query, documents in zip(batch["queries"], batch["documents"], strict=True):
        if pair:
            labels = [_RELEVANT] + [0.0] * (len(documents) - 1)
            yield {"query": query, "documents": documents, "labels": labels}
        else:
            negatives = {f"negative_{place}": text for place, text in enumerate(documents[1:], 1)}
            yield {"query": query, "positive": documents[0], **negatives}


def _first_loss(trainer: Any, rows: list[dict[str, Any]], *, half: bool) -> float:
    trainer.model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        return float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))


if __name__ == "__main__":
    answer(work)
