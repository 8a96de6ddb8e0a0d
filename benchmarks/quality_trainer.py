"""What sentence-transformers and PyLate share: the trainer's options, the rows it reads, the pace it keeps."""

from __future__ import annotations

from typing import Any

from datasets import Dataset  # pyright: ignore[reportMissingImports]  (of the bench extra alone)
from transformers import PrinterCallback, TrainerCallback

from benchmarks.quality_data import Material
from benchmarks.quality_pace import Pace
from benchmarks.quality_recipes import Recipe
from rankgrad.cli._demo_training import fast_bfloat16
from rankgrad.data import CandidateList

_EPOCHS = 8
_NO_END = 10**6


class _Paced(TrainerCallback):
    """The learning rate and the end by a pace."""

    def __init__(self, pace: Pace, rate: float) -> None:
        self.pace, self.rate = pace, rate

    def on_train_begin(self, *arguments: Any, **options: Any) -> None:
        self.pace.begin()

    def on_step_begin(self, args: Any, state: Any, control: Any, *, optimizer: Any, **options: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self.rate * self.pace.factor(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        control.should_training_stop = self.pace.done(state.global_step)


def fit(trainer_class: Any, recipe: Recipe, material: Material, pace: Pace, *, seed: int, **parts: Any) -> int:
    """Train with a trainer of ``transformers`` make on the lists that all draw, and give the number of steps."""
    lists = material.drawn(negatives=recipe.negatives, last_rank=recipe.last_rank, seed=seed)
    drawn = [lists[epoch, index] for epoch in range(_EPOCHS) for index in range(len(lists))]
    dataset = Dataset.from_list([row for one in drawn for row in rows_of(one, recipe)])
    trainer = trainer_class(train_dataset=dataset, callbacks=[_Paced(pace, recipe.rate)], **parts)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return int(trainer.state.global_step)


def trainer_options(folder: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Training arguments; what is not named is the library's own."""
    # Binary cross-entropy takes pairs: as many a step as the lists of the others hold.
    pairs = recipe.pair and recipe.loss == "bce"
    return {
        "output_dir": folder,
        "per_device_train_batch_size": recipe.batch * (recipe.negatives + 1 if pairs else 1),
        "max_steps": _NO_END,
        "learning_rate": recipe.rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "seed": seed,
        "bf16": fast_bfloat16(),
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    } | ({} if recipe.pair else {"batch_sampler": "no_duplicates"})


def rows_of(one: CandidateList, recipe: Recipe) -> list[dict[str, Any]]:
    """A drawn list in the form that the loss takes; where columns are counted, a shorter one is left out."""
    labels = [float(label > 0) for label in one.labels]
    if recipe.pair and recipe.loss == "bce":
        both = zip(one.documents, labels, strict=True)
        return [{"query": one.query, "document": text, "label": label} for text, label in both]
    if recipe.pair:
        return [{"query": one.query, "documents": list(one.documents), "labels": labels}]
    if len(one.documents) != recipe.negatives + 1:
        return []
    negatives = {f"negative_{place}": text for place, text in enumerate(one.documents[1:], 1)}
    return [{"query": one.query, "positive": one.documents[0], **negatives}]
