"""The penalty of a sparse encoder: what is added to the loss, when, and that it makes weights few."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.losses import FlopsPenalty, InfoNCELoss, L1Penalty
from rankgrad.models import SparseEncoder
from rankgrad.training import Ranker, SparsityPenalty, quiet_lightning

LISTS = [
    CandidateList("open a file", ("read its lines", "sort the values"), (1.0, 0.0)),
    CandidateList("sort values", ("sort the values",), (1.0,)),
]


class Logged:
    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.values: dict[str, torch.Tensor] = {}

    def log(self, name: str, value: torch.Tensor) -> None:
        self.values[name] = torch.as_tensor(value)


@pytest.mark.parametrize("factor", [None, 1024.0])
def test_the_loss_grows_by_the_penalties_in_their_share(tiny_mlm_folder: Path, factor: float | None) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder)
    features = ListCollate(model.tokenizer, in_batch_negatives=True)(LISTS).features
    callback = SparsityPenalty(queries=L1Penalty(0.5), documents=FlopsPenalty(2.0), ramp_steps=4)
    module = Logged(model)
    # In float16 Lightning multiplies the loss by the scaler's factor before it hands it over.
    scaler = None if factor is None else torch.amp.GradScaler("cpu", init_scale=factor)
    plugin = SimpleNamespace(scaler=scaler) if scaler else SimpleNamespace()
    trainer = SimpleNamespace(global_step=1, accumulate_grad_batches=2, precision_plugin=plugin)
    callback.on_train_batch_start(trainer, module, None, 0)  # type: ignore[arg-type]
    model(features)
    loss = torch.tensor(3.0) * (factor or 1)
    callback.on_before_backward(trainer, module, loss)  # type: ignore[arg-type]
    queries = model.embed_queries(features.queries)
    documents = torch.cat([model.embed_documents(group) for group in features.documents])
    penalty = 0.25 * (0.5 * queries.sum(1).mean() + 2 * documents.mean(0).square().sum())
    torch.testing.assert_close(loss, (3 + penalty / 2) * (factor or 1))
    torch.testing.assert_close(module.values["train/sparsity_penalty"], penalty)
    torch.testing.assert_close(module.values["train/query_terms"], (queries > 0).float().sum(1).mean())
    assert model.activations is None
    assert [callback.share(step) for step in (0, 3, 9)] == [1 / 16, 1.0, 1.0]


@pytest.mark.parametrize("grad_cache_tokens", [None, 32])
def test_training_with_it_leaves_fewer_terms(grad_cache_tokens: int | None, tiny_mlm_folder: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder)
    before = model.encode_documents(["sort the values"]).counts
    collate = ListCollate(model.tokenizer, in_batch_negatives=True)
    loader = torch.utils.data.DataLoader([LISTS] * 12, batch_size=None, collate_fn=collate)
    ranker = Ranker(model, InfoNCELoss(), learning_rate=1e-3, grad_cache_tokens=grad_cache_tokens)
    penalty = SparsityPenalty(documents=FlopsPenalty(1.0))
    with quiet_lightning():
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            limit_val_batches=0,
            callbacks=[penalty],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(ranker, loader, loader)
    assert trainer.callback_metrics["train/sparsity_penalty"] > 0
    assert 0 < model.eval().encode_documents(["sort the values"]).counts < 0.7 * before


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(InputError, match="both None"):
        SparsityPenalty()
    with pytest.raises(InputError, match="Linear gives no weights of terms"):
        SparsityPenalty(queries=L1Penalty()).on_fit_start(None, Logged(torch.nn.Linear(1, 1)))  # type: ignore[arg-type]
