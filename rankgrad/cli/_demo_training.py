"""The two trainings of the demonstration: a ColBERT, and a cross-encoder that starts from it and learns from it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
import torch

from rankgrad.data import Collection, ListDataModule
from rankgrad.losses import InfoNCELoss, KLDistillLoss
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import BM25Negatives, Ranker, RunFolder, quiet_lightning, teacher_run
from rankgrad.training.progress import progress_bar


class Schedule(NamedTuple):
    """How long a model trains."""

    steps: int
    batch_size: int
    negatives: int
    learning_rate: float


COLBERT = Schedule(steps=32, batch_size=24, negatives=3, learning_rate=5e-5)
CROSS_ENCODER = Schedule(steps=30, batch_size=8, negatives=5, learning_rate=5e-5)
VALIDATION_QUERIES = 40


def train_colbert(collection: Collection, encoder: str, folder: Path, schedule: Schedule) -> ColBERT:
    """Contrastive, with BM25 negatives and the other queries' documents; gives the best by validation nDCG@10."""
    pl.seed_everything(0, verbose=False)
    rules = LateInteractionRules(query_expansion=False, query_length=40, document_length=128)
    model = ColBERT.from_pretrained(encoder, rules=rules, dim=128)
    task = collection.task("train")
    relevant = [task.documents.text(name) for judged in task.qrels.values() for name in judged]
    model.fit_projection([*relevant[:300], *task.queries.texts[:300]])
    data = _data(collection, schedule, in_batch_negatives=True)
    _fit(Ranker(model, InfoNCELoss(temperature=0.6), learning_rate=schedule.learning_rate), data, folder, schedule)
    return ColBERT.from_pretrained(folder / "best")


def train_cross_encoder(collection: Collection, colbert: ColBERT, folder: Path, schedule: Schedule) -> CrossEncoder:
    """Distillation: the ColBERT's encoder is the start, its scores of BM25's candidates are the target."""
    pl.seed_everything(0, verbose=False)
    model = CrossEncoder.from_pretrained(folder.parent / "colbert" / "best", head="interaction", max_length=160)
    candidates = BM25Negatives(depth=20)
    found = candidates(collection, "train")
    taught = teacher_run(collection.task("train"), found, colbert)
    data = _data(collection, schedule, teacher_scores=taught, negative_ranks=(1, 20))
    ranker = Ranker(
        model,
        KLDistillLoss(temperature=0.5),
        target="teacher_scores",
        learning_rate=schedule.learning_rate,
        head_learning_rate=20 * schedule.learning_rate,
    )
    _fit(ranker, data, folder, schedule)
    return CrossEncoder.from_pretrained(folder / "best")


def _data(collection: Collection, schedule: Schedule, **options: object) -> ListDataModule:
    return ListDataModule(
        collection,
        candidates=BM25Negatives(depth=50),
        negatives=schedule.negatives,
        batch_size=schedule.batch_size,
        validation_depth=20,
        validation_queries=VALIDATION_QUERIES,
        **options,  # type: ignore[arg-type]
    )


def _fit(ranker: Ranker, data: ListDataModule, folder: Path, schedule: Schedule) -> None:
    run = RunFolder(folder, checkpoint_every=max(schedule.steps // 2, 1), tensorboard=False)
    run.begin(overwrite=True)
    arguments = run.trainer_arguments()
    arguments["callbacks"].append(progress_bar())
    with quiet_lightning():
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            precision="bf16-mixed" if fast_bfloat16() else "32-true",
            max_steps=schedule.steps,
            val_check_interval=max(schedule.steps // 2, 1),
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            gradient_clip_val=1.0,
            log_every_n_steps=1,
            enable_model_summary=False,
            **arguments,
        )
        trainer.fit(ranker, data)


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware; where it does not, float32 is faster."""
    return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
