"""Filling the weights of query tokens before a training, and not again when it is resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.datamodule import ListDataModule
from rankgrad.losses import SoftmaxLoss
from rankgrad.models import ColBERT
from rankgrad.training import FitQueryWeights, Ranker


def fit(model: ColBERT, lists: object, folder: Path, checkpoint: Path | None = None) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=1 if checkpoint is None else 2, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, callbacks=[FitQueryWeights()],
    )  # fmt: skip
    data = ListDataModule(lists, batch_size=4, seed=3)  # type: ignore[arg-type]
    trainer.fit(Ranker(model, SoftmaxLoss(), learning_rate=0.1), data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def test_they_are_fitted_once(
    tiny_encoder_folder: Path, lists: object, lists_of: Callable[[int, str], list[CandidateList]], tmp_path: Path
) -> None:
    def new() -> ColBERT:
        return ColBERT.from_pretrained(tiny_encoder_folder, dim=16, query_weights="learned")

    texts = {text for one in lists_of(22, "train") for text in one.documents}
    wanted = new().fit_idf(sorted(texts)).query_weights.table  # type: ignore[union-attr]
    model = new()
    trainer = fit(model, lists, tmp_path)
    weights = model.query_weights
    assert weights is not None
    seen = (weights.table - wanted).abs() > 1e-6
    # One step moves the weights of the tokens that the batch asked for, from where they were put.
    assert 0 < seen.sum() < len(wanted) / 2
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    moved, again = weights.table.clone(), new()
    fit(again, lists, tmp_path, tmp_path / "last.ckpt")
    assert again.query_weights is not None
    apart = (again.query_weights.table - wanted).abs() > 1e-6
    assert bool(apart[seen].all())
    assert not torch.equal(moved, wanted)


def test_a_model_without_them_is_refused(tiny_encoder_folder: Path, lists: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ColBERT has no weights of query tokens: set query_weights"):
        fit(ColBERT.from_pretrained(tiny_encoder_folder, dim=16), lists, tmp_path)
