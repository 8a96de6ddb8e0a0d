"""Training and scoring with rankgrad: ``Ranker`` in Lightning."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from benchmarks.quality_data import Asked, Material
from benchmarks.quality_pace import Pace
from benchmarks.quality_recipes import DIM, DOCUMENT_LENGTH, PAIR_LENGTH, QUERY_LENGTH, Recipe
from rankgrad.cli._demo_training import fast_bfloat16
from rankgrad.data import CandidateList, EpochLoader, Run
from rankgrad.data.collate import ListCollate
from rankgrad.losses import InfoNCELoss, KLDistillLoss, LambdaLoss, PointwiseBCELoss, SoftmaxLoss
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.modules import ProjectionHead
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import Ranker, blend_weights, quiet_lightning, teacher_run, teacher_scores
from rankgrad.training.optim import set_learning_rates

RULES = LateInteractionRules(query_length=QUERY_LENGTH, document_length=DOCUMENT_LENGTH, query_expansion=False)
BM25_SHARE = 0.5
"""How much of BM25's score a teaching ColBERT adds to its own."""
_FITTED = 300


class _Paced(pl.Callback):
    """The learning rate and the end by a pace; counts the steps."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.steps = pace, 0

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        set_learning_rates(optimizer, self.pace.factor(self.steps))

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        self.steps += 1
        trainer.should_stop = self.pace.done(self.steps)


def train(recipe: Recipe, material: Material, source: str, pace: Pace, *, seed: int, folder: Path) -> int:
    """Train a model, save it, and give the number of steps."""
    pl.seed_everything(seed, verbose=False)
    if recipe.loss == "kl":
        model, steps = _distilled(recipe, material, source, pace, seed=seed, folder=folder)
    else:
        model = _pair_model(recipe, source) if recipe.pair else _late_model(recipe, source, material, pace)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        steps = _fit(model, recipe, material, pace, seed=seed)
        blend_weights(model, before, share=recipe.kept)
    if recipe.weighed and isinstance(model, ColBERT):
        model.fit_idf(material.train.documents.texts)
    model.save_pretrained(folder)
    return steps


@torch.inference_mode()
def score(folder: Path, recipe: Recipe, asked: Asked) -> list[list[float]]:
    """A saved model's score of each list's documents."""
    rows = list(zip(*asked, strict=True))
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
        if not recipe.pair:
            lists = [CandidateList(query, tuple(texts), (0.0,) * len(texts)) for query, texts in rows if texts]
            found = iter(teacher_scores(lists, ColBERT.from_pretrained(folder), progress=False))
            return [list(next(found).teacher_scores or ()) if texts else [] for _, texts in rows]
        pairs = [(query, text) for query, texts in rows for text in texts]
        scores = CrossEncoder.from_pretrained(folder).score(*(list(side) for side in zip(*pairs, strict=True)))
    return [part.tolist() for part in scores.float().split([len(texts) for texts in asked.documents])]


def _late_model(recipe: Recipe, source: str, material: Material, pace: Pace) -> ColBERT:
    dim, head = (None, None) if recipe.head == "none" else (DIM, _projection(recipe.head))
    weights = "fixed" if recipe.weighed else None
    model = ColBERT.from_pretrained(source, rules=RULES, dim=dim, head=head, query_weights=weights)
    pace.begin()
    if recipe.head not in ("none", "linear, random start"):
        task = material.train.task("train")
        relevant = [task.documents.text(name) for judged in task.qrels.values() for name in judged]
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
            model.fit_projection([*relevant[:_FITTED], *task.queries.texts[:_FITTED]])
    return model


def _projection(head: str) -> ProjectionHead:
    match head:
        case "2 layers":
            return ProjectionHead(depth=2)
        case "3 layers":
            return ProjectionHead(depth=3)
        case "GLU":
            return ProjectionHead(depth=2, gated=True, activation=nn.Sigmoid())
        case "SwiGLU":
            return ProjectionHead(depth=2, gated=True, activation=nn.SiLU())
        case "residual":
            return ProjectionHead(depth=2, residual=True)
        case _:
            return ProjectionHead()


def _pair_model(recipe: Recipe, source: str | Path) -> CrossEncoder:
    return CrossEncoder.from_pretrained(source, head=recipe.head, max_length=PAIR_LENGTH)  # type: ignore[arg-type]


def _loss(recipe: Recipe) -> nn.Module:
    match recipe.loss:
        case "in-batch":
            return InfoNCELoss()
        case "bce":
            return PointwiseBCELoss()
        case "lambda":
            return LambdaLoss()
        case "kl":
            return KLDistillLoss(temperature=0.5 if recipe.pair else 1.0)
        case _:
            return SoftmaxLoss()


def _fit(
    model: ColBERT | CrossEncoder,
    recipe: Recipe,
    material: Material,
    pace: Pace,
    *,
    seed: int,
    teacher: Run | None = None,
) -> int:
    ranker = Ranker(
        model,
        _loss(recipe),
        target="labels" if teacher is None else "teacher_scores",
        learning_rate=recipe.rate,
        head_learning_rate=recipe.head_rate,
        metrics=(),
    )
    lists = material.drawn(negatives=recipe.negatives, last_rank=recipe.last_rank, seed=seed, teacher=teacher)
    collate = ListCollate(model.tokenizer, in_batch_negatives=recipe.loss == "in-batch")
    loader = EpochLoader(lists, collate, batch_size=recipe.batch, shuffle=True, seed=seed)
    paced = _Paced(pace)
    with quiet_lightning(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You defined a `validation_step`")
        trainer = pl.Trainer(
            max_epochs=10_000,
            accelerator="cpu",
            devices=1,
            precision="bf16-mixed" if fast_bfloat16() else "32-true",
            gradient_clip_val=1.0,
            limit_val_batches=0,
            callbacks=[paced],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        pace.begin()
        trainer.fit(ranker, loader)  # type: ignore[arg-type]
    model.eval()
    return paced.steps


def _distilled(
    recipe: Recipe, material: Material, source: str, pace: Pace, *, seed: int, folder: Path
) -> tuple[ColBERT | CrossEncoder, int]:
    """Half the budget for a ColBERT, half for a model that learns from its scores and starts from its encoder.

    What the ColBERT teaches itself is its score with a share of BM25's; the time to score counts.
    """
    pace.begin()
    begun = pace.half()
    taught_by = Recipe("teacher", "rankgrad", pair=False, loss="in-batch", head="none")
    teacher = _late_model(taught_by, source, material, begun)
    steps = _fit(teacher, taught_by, material, begun, seed=seed)
    rest = pace.half()
    rest.begin()
    task = material.train.task("train")
    best = {query: dict(list(found.items())[: recipe.last_rank]) for query, found in material.candidates.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16()):
        taught = teacher_run(task, best, teacher, progress=False)
    if recipe.pair:
        teacher.save_pretrained(folder.with_name("teacher"))
        model = _pair_model(recipe, folder.with_name("teacher"))
    else:
        model = teacher
        taught = {
            query: {name: value + BM25_SHARE * best[query].get(name, 0.0) for name, value in scores.items()}
            for query, scores in taught.items()
        }
    return model, steps + _fit(model, recipe, material, rest, seed=seed, teacher=taught)
