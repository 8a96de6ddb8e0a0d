"""Lists, a tiny ranker and whole runs of it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from rankgrad.data import CandidateList
from rankgrad.data.datamodule import ListDataModule
from rankgrad.losses import InfoNCELoss, SoftmaxLoss
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import Ranker, RunFolder, quiet_lightning
from rankgrad.training.random_state import random_state, set_random_state

WORDS = ["return", "open", "sort", "raise", "join", "parse", "number", "file", "values", "error", "strings", "date"]


class Lists:
    """Ready lists of random words; the relevant document holds the query's words."""

    def __init__(self, *, train: int = 22, validation: int = 6, taught: bool = False) -> None:
        self.sizes = {"train": train, "validation": validation}
        self.taught = taught

    def lists(self, split: str) -> list[CandidateList]:
        draw = random.Random(split)
        made = []
        for _ in range(self.sizes[split]):
            query = draw.sample(WORDS, 3)
            documents = [" ".join(draw.choices(WORDS, k=draw.randint(2, 12))) for _ in range(3)]
            documents.append(" ".join([*query, *draw.choices(WORDS, k=4)]))
            scores = tuple(draw.random() for _ in documents) if self.taught else None
            made.append(CandidateList(" ".join(query), tuple(documents), (0.0, 0.0, 0.0, 1.0), scores))
        return made


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Lightning's notices off; what a run sets for the whole process, set back."""
    states, variables = random_state(), dict(os.environ)
    deterministic = torch.are_deterministic_algorithms_enabled()
    with quiet_lightning():
        yield
    torch.use_deterministic_algorithms(deterministic)
    set_random_state(states)
    os.environ.clear()
    os.environ.update(variables)


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture(scope="session")
def lists_of() -> Callable[[int, str], list[CandidateList]]:
    """So many lists of a split."""
    return lambda count, split: Lists(train=count, validation=count).lists(split)


@pytest.fixture(scope="session")
def new_colbert(tiny_encoder_folder: Path) -> Callable[[], ColBERT]:
    """Makes a tiny ColBERT, each time the same."""

    def make() -> ColBERT:
        rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=24)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16)

    return make


@pytest.fixture
def cross_encoder(tiny_encoder_folder: Path) -> CrossEncoder:
    """A tiny cross-encoder with dropout of 0.1, as BERT has."""
    torch.manual_seed(1)
    return CrossEncoder.from_pretrained(tiny_encoder_folder, head="interaction")


@pytest.fixture
def train(tiny_encoder_folder: Path) -> Callable[..., pl.Trainer]:
    """Run the training of a tiny cross-encoder in a run folder."""

    def run(
        run: RunFolder,
        *,
        resume: bool = False,
        overwrite: bool = False,
        source: Lists | None = None,
        data: dict[str, Any] | None = None,
        ranker: dict[str, Any] | None = None,
        **options: Any,
    ) -> pl.Trainer:
        pl.seed_everything(7)
        checkpoint = run.begin(resume=resume, overwrite=overwrite)
        module = Ranker(
            CrossEncoder.from_pretrained(tiny_encoder_folder, head="interaction"),
            SoftmaxLoss(),
            **{"learning_rate": 1e-3, **(ranker or {})},
        )
        quiet = {"log_every_n_steps": 1, "num_sanity_val_steps": 0, "enable_model_summary": False}
        more = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, **quiet, **options}
        trainer = pl.Trainer(**run.trainer_arguments(), **more)
        lists = ListDataModule(source or Lists(), **{"batch_size": 4, "seed": 3, **(data or {})})
        trainer.fit(module, lists, ckpt_path=checkpoint and str(checkpoint), weights_only=True)
        return trainer

    return run


@pytest.fixture
def train_colbert(new_colbert) -> Callable[..., pl.Trainer]:
    """Run the training of a tiny ColBERT with in-batch negatives in a run folder."""

    def run(
        run: RunFolder, *, ranker: dict[str, Any] | None = None, dropout: float = 0.1, **options: Any
    ) -> pl.Trainer:
        pl.seed_everything(7)
        model = new_colbert()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        module = Ranker(model, InfoNCELoss(), **{"learning_rate": 1e-3, **(ranker or {})})
        quiet = {"log_every_n_steps": 1, "num_sanity_val_steps": 0, "enable_model_summary": False}
        more = {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False, **quiet, **options}
        trainer = pl.Trainer(**run.trainer_arguments(), **more)
        run.begin()
        trainer.fit(module, ListDataModule(Lists(), batch_size=4, seed=3, in_batch_negatives=True))
        return trainer

    return run
