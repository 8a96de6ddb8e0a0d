"""What a ColBERT learns beyond MaxSim: several widths, soft maxima, tokens that may go, XTR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate, ListDataModule
from rankgrad.losses import SoftmaxLoss
from rankgrad.models import ColBERT
from rankgrad.modules import ProjectionHead, xtr_scores
from rankgrad.ops import maxsim
from rankgrad.tokens import LateInteractionRules
from rankgrad.training import AnnealTemperature, KeepShare, MatryoshkaLoss, Ranker, cached_scores

LISTS = [
    CandidateList("open a file", ("open a file and read its lines", "sort a list"), (1.0, 0.0)),
    CandidateList("sort numbers", ("open a file and read its lines", "sort a list of numbers by key"), (0.0, 1.0)),
]


class Fixed:
    """Lists for a data module."""

    def lists(self, split: str) -> list[CandidateList]:
        return LISTS


@pytest.fixture
def colbert(tiny_encoder_folder: Path) -> Callable[..., ColBERT]:
    rules = LateInteractionRules(query_length=8, document_length=16)
    return lambda **options: ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16, **options)


def batch_of(model: ColBERT):
    return ListCollate(model.tokenizer, group_size=1)(LISTS)


def fit(model: ColBERT, loss: torch.nn.Module, *callbacks: pl.Callback, steps: int = 4, rate: float = 1e-2) -> Ranker:
    ranker = Ranker(model, loss, learning_rate=rate, warmup=0, decay="constant")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, enable_model_summary=False, callbacks=list(callbacks), **quiet
    )
    trainer.fit(ranker, ListDataModule(Fixed(), batch_size=2))
    return ranker


def test_every_width_is_scored_and_the_loss_is_their_mean(colbert: Callable[..., ColBERT]) -> None:
    model = colbert(matryoshka_dims=(16, 4))
    batch = batch_of(model)
    full = model(batch.features)  # in evaluation mode the whole width
    assert full.shape == (2, 2)
    assert colbert(truncate_dim=4).dim == 4
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    scores = model(batch.features)
    torch.testing.assert_close(scores[0], full)
    queries = model.embed_queries(batch.features.queries)
    columns = [
        maxsim(*(normalize(x[..., :4], dim=-1) for x in (queries, model.embed_documents(group))),
               batch.features.queries.scored, group.scored)
        for group in batch.features.documents
    ]  # fmt: skip
    torch.testing.assert_close(scores[1], torch.cat(columns, dim=1).gather(1, batch.features.slots))
    one = SoftmaxLoss()
    losses = torch.stack([one(each, batch.labels, batch.mask) for each in scores])
    torch.testing.assert_close(MatryoshkaLoss(one)(scores, batch.labels, batch.mask), losses.mean())
    weighted = MatryoshkaLoss(one, weights=[3.0, 1.0])(scores, batch.labels, batch.mask)
    torch.testing.assert_close(weighted, (3 * losses[0] + losses[1]) / 4)
    with pytest.raises(InputError, match="no axis of widths"):
        MatryoshkaLoss(one)(full, batch.labels)
    with pytest.raises(InputError, match="width=17"):
        colbert(matryoshka_dims=(17,))


def test_a_matryoshka_of_a_deep_head_trains(colbert: Callable[..., ColBERT]) -> None:
    model = colbert(head=ProjectionHead(depth=2, residual=True), matryoshka_dims=(16, 4))
    batch = batch_of(model)
    before = colbert_loss(model, batch)
    fit(model, MatryoshkaLoss(SoftmaxLoss()), steps=6)
    assert colbert_loss(model, batch) < before


@torch.no_grad()
def colbert_loss(model: ColBERT, batch) -> torch.Tensor:
    return SoftmaxLoss()(model.eval()(batch.features), batch.labels, batch.mask)


def test_the_temperature_falls_and_ends_hard(colbert: Callable[..., ColBERT]) -> None:
    seen = []

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_) -> None:
            seen.append(pl_module.model.temperature)

    model = colbert()
    fit(model, SoftmaxLoss(), AnnealTemperature(start=0.4, end=0.1, share=0.6, shape="linear"), Look(), steps=5)
    assert seen == [pytest.approx(0.4), pytest.approx(0.25), pytest.approx(0.1), None, None]
    assert model.temperature is None
    batch = batch_of(model)
    hard = model.eval()(batch.features)
    model.temperature = 0.1
    torch.testing.assert_close(model(batch.features), hard)  # evaluation is hard whatever the temperature
    with torch.random.fork_rng():
        torch.manual_seed(0)
        soft = model.train()(batch.features)
        torch.manual_seed(0)
        model.temperature = None
        assert (soft > model(batch.features)).all()  # a soft maximum lies above the hard one


def test_xtr_in_training_sees_all_documents_at_once(colbert: Callable[..., ColBERT]) -> None:
    model = colbert(xtr_top_k=5)
    batch = batch_of(model)
    model.eval()
    queries, groups = model.embed_queries(batch.features.queries), batch.features.documents
    width = max(group.scored.shape[1] for group in groups)
    pad = torch.nn.functional.pad
    documents = torch.cat([pad(model.embed_documents(g), (0, 0, 0, width - g.scored.shape[1])) for g in groups])
    mask = torch.cat([pad(group.scored, (0, width - group.scored.shape[1])) for group in groups])
    wanted = xtr_scores(queries, documents, batch.features.queries.scored, mask, top_k=5)
    model.training = True  # the model's own flag alone: no dropout
    torch.testing.assert_close(model(batch.features), wanted.gather(1, batch.features.slots))


def test_micro_batches_give_the_same_scores(colbert: Callable[..., ColBERT]) -> None:
    model = colbert(matryoshka_dims=(16, 4), xtr_top_k=5, keep_share=0.5)
    batch = batch_of(model)
    model.training = True
    wanted = model(batch.features)
    assert wanted.shape == (2, 2, 2)
    torch.testing.assert_close(cached_scores(model, batch.features, micro_batch_tokens=16), wanted)


@pytest.mark.parametrize("tokens", [16, 40, None])
def test_the_keep_penalty_is_that_of_the_whole_batch(colbert: Callable[..., ColBERT], tokens: int | None) -> None:
    model = colbert(keep_share=0.5)
    assert model.pruner is not None
    torch.nn.init.normal_(model.pruner.gate[-1].weight, std=5.0)  # type: ignore[arg-type]
    batch = batch_of(model)
    model.training = True  # the model's own flag alone: no dropout
    logits = [model.pruner(model.embed_documents(group))[group.scored] for group in batch.features.documents]
    wanted = (torch.cat(logits).sigmoid().mean() - 0.5).square()
    parameters = list(model.encoder.parameters()) + list(model.pruner.parameters())
    expected = torch.autograd.grad(wanted, parameters, allow_unused=True)
    found: list[torch.Tensor | None] = []

    class Look(KeepShare):
        def on_before_backward(self, trainer, pl_module, loss) -> None:
            super().on_before_backward(trainer, pl_module, loss)
            found.extend(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))

    pruner_alone = lambda scores, labels, mask: scores.sum() * 0  # noqa: E731
    ranker = SimpleNamespace(model=model, log=lambda name, value: found.append(value))
    trainer = SimpleNamespace(accumulate_grad_batches=1, precision_plugin=None)
    keep = Look()
    keep.on_train_batch_start(trainer, ranker, batch, 0)  # type: ignore[arg-type]
    if tokens is None:
        scores = model(batch.features)
    else:
        scores = cached_scores(model, batch.features, micro_batch_tokens=tokens)
    keep.on_before_backward(trainer, ranker, pruner_alone(scores, batch.labels, batch.mask))  # type: ignore[arg-type]
    torch.testing.assert_close(found[0], wanted, atol=1e-6, rtol=1e-5)
    for gradient, reference in zip(found[1:], expected, strict=True):
        if reference is not None and gradient is not None:
            torch.testing.assert_close(gradient, reference, atol=1e-5, rtol=1e-5)


def test_gates_learn_to_keep_the_share(colbert: Callable[..., ColBERT], tmp_path: Path) -> None:
    model = colbert(keep_share=0.5)
    model.encoder.requires_grad_(False)
    batch = batch_of(model)

    def kept_on_average() -> float:
        shares = [
            model.pruner(model.embed_documents(group))[group.scored].sigmoid() for group in batch.features.documents
        ]  # type: ignore[misc]
        return torch.cat(shares).mean().item()

    assert kept_on_average() > 0.9
    fit(model, SoftmaxLoss(), KeepShare(weight=10.0), steps=40, rate=2e-2)
    assert kept_on_average() == pytest.approx(0.5, abs=0.1)
    assert model.pruner is not None
    assert model.pruner.counts is None
    model.eval().requires_grad_(False)
    documents = [document for one in LISTS for document in one.documents]
    packed = model.encode_documents(documents)
    whole = colbert().tokenizer.documents(documents).scored.sum(1)
    assert packed.cu_seqlens.diff().tolist() == [-(-int(count) // 2) for count in whole]
    # A list scored at once is scored as its index would be, and a saved model prunes as before.
    row = model.score([LISTS[0].query], model.encode_documents(LISTS[0].documents))
    torch.testing.assert_close(model(batch.features)[:1], row)
    model.save_pretrained(tmp_path / "model")
    again = ColBERT.from_pretrained(tmp_path / "model").requires_grad_(False)
    torch.testing.assert_close(again.encode_documents(documents).embeddings, packed.embeddings)
    with pytest.raises(InputError, match="the pruner reads all"):
        again.truncate(4)


def test_gates_of_half_precision_weights_learn_too(colbert: Callable[..., ColBERT]) -> None:
    model = colbert(keep_share=0.5).eval()
    batch = batch_of(model)
    model.training = True  # the model's own flag alone: no dropout
    wanted = model(batch.features)
    scores = model.bfloat16()(batch.features)
    torch.testing.assert_close(scores, wanted, atol=0.1, rtol=0.05, check_dtype=False)
    scores.sum().backward()
    assert model.pruner is not None
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.pruner.parameters())
    model.eval()
    packed = model.encode_documents(LISTS[0].documents)
    assert len(packed.embeddings) < int(model.tokenizer.documents(LISTS[0].documents).scored.sum())


def test_what_cannot_be_annealed(colbert: Callable[..., ColBERT]) -> None:
    for options in ({"start": 0.1, "end": 0.2}, {"end": 0.0}, {"share": 0.0}, {"shape": "cosine"}):
        with pytest.raises(InputError):
            AnnealTemperature(**options)  # type: ignore[arg-type]
    endless = SimpleNamespace(max_epochs=-1, max_steps=-1)
    with pytest.raises(InputError, match="a run without end"):
        AnnealTemperature().on_fit_start(endless, SimpleNamespace(model=colbert()))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="weight=0"):
        KeepShare(weight=0)
    with pytest.raises(InputError, match="has no pruner"):
        fit(colbert(), SoftmaxLoss(), KeepShare())
