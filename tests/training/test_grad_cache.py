"""Encoding a batch in micro-batches gives the gradients of the batch, in the memory of one micro-batch."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rankgrad._checks import InputError
from rankgrad.data.collate import ListBatch, ListCollate
from rankgrad.losses import InfoNCELoss, SoftmaxLoss
from rankgrad.models import ColBERT
from rankgrad.training import Ranker, RunFolder, cached_scores, read_curves
from rankgrad.training.grad_cache import micro_batches


@pytest.fixture
def colbert(new_colbert) -> ColBERT:
    return new_colbert()


@pytest.fixture
def batch_of(colbert: ColBERT, lists) -> Callable[..., ListBatch]:
    def make(count: int = 6, *, in_batch_negatives: bool = True) -> ListBatch:
        collate = ListCollate(colbert.tokenizer, in_batch_negatives=in_batch_negatives, group_size=5)
        return collate(lists.lists("train")[:count])

    return make


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("in_batch_negatives", [True, False])
@pytest.mark.parametrize("tokens", [26, 100, 10_000])
def test_scores_and_gradients_are_those_of_the_whole_batch(
    colbert: ColBERT, batch_of, tokens: int, in_batch_negatives: bool
) -> None:
    batch, loss = batch_of(in_batch_negatives=in_batch_negatives), InfoNCELoss()
    whole = colbert(batch.features)
    expected = gradients(colbert, loss(whole, batch.labels, batch.mask))
    scores = cached_scores(colbert, batch.features, micro_batch_tokens=tokens)
    torch.testing.assert_close(scores, whole)
    found = gradients(colbert, loss(scores, batch.labels, batch.mask))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("half", [False, True])
def test_dropout_is_the_same_in_both_passes(colbert: ColBERT, batch_of, half: bool) -> None:
    batch, loss = batch_of(), SoftmaxLoss()
    colbert.train()
    queries, groups = (micro_batches(each, 60) for each in ([batch.features.queries], batch.features.documents))

    def graph_of_all() -> Tensor:
        """The same micro-batches, and so the same dropout, but all activations are kept."""
        rows = torch.cat([colbert.encode(each) for each in queries])
        mask = batch.features.queries.scored
        return colbert.compare(rows, mask, [(colbert.encode(each), each.scored) for each in groups])

    def step(scored: Callable[[], Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss(scored(), batch.labels, batch.mask)
        return gradients(colbert, value), torch.get_rng_state()

    expected, after = step(graph_of_all)
    found, after_cached = step(lambda: cached_scores(colbert, batch.features, micro_batch_tokens=60))
    assert torch.equal(after, after_cached)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5, msg=name)
    torch.manual_seed(6)
    other = gradients(colbert, loss(graph_of_all(), batch.labels, batch.mask))
    assert any(not torch.allclose(other[name], gradient, atol=1e-3) for name, gradient in expected.items())


class PeakBytes(TorchDispatchMode):
    """The most bytes that tensors made inside held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and (key := each.untyped_storage()._cdata) not in self.held:
                self.held[key] = each.untyped_storage().nbytes()
                weakref.finalize(each.untyped_storage(), self.held.pop, key, None)
        self.peak = max(self.peak, sum(self.held.values()))
        return made


def peak(model: ColBERT, batch: ListBatch, tokens: int | None) -> int:
    gc.collect()
    model.zero_grad()
    with PeakBytes() as counter:
        if tokens is None:
            scores = model(batch.features)
        else:
            scores = cached_scores(model, batch.features, micro_batch_tokens=tokens)
        InfoNCELoss()(scores, batch.labels, batch.mask).backward()
    return counter.peak


def test_memory_does_not_grow_with_the_batch(colbert: ColBERT, batch_of) -> None:
    small, large = batch_of(5), batch_of(20)
    embeddings = sum(group.scored.numel() for group in large.features.documents) * 16 * 4
    growth = peak(colbert, large, 200) - peak(colbert, small, 200)
    assert growth < 4 * embeddings, "embeddings and their gradients, scores and what MaxSim keeps"
    assert peak(colbert, large, None) - peak(colbert, small, None) > 10 * growth


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_training_takes_the_same_course(tmp_path: Path, train_colbert, precision: str) -> None:
    losses = []
    for tokens in (None, 80):
        run = RunFolder(tmp_path / str(tokens), tensorboard=False)
        options = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5, "precision": precision}
        train_colbert(run, ranker={"grad_cache_tokens": tokens}, dropout=0.0, **options)
        losses.append([float(row["train/loss"]) for row in read_curves(run.curves) if "train/loss" in row])
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-4 if precision == "32-true" else 2e-2)


def test_what_cannot_be_cached_is_refused(colbert: ColBERT, batch_of, lists, cross_encoder) -> None:
    batch = batch_of()
    longest = batch.features.documents[-1].input_ids.shape[1]
    with pytest.raises(InputError, match=f"grad_cache_tokens={longest - 1}: a text of this batch has {longest} tokens"):
        cached_scores(colbert, batch.features, micro_batch_tokens=longest - 1)
    with pytest.raises(InputError, match="CrossEncoder reads query and document together"):
        Ranker(cross_encoder, InfoNCELoss(), grad_cache_tokens=1000)
    with pytest.raises(InputError, match="grad_cache_tokens=0: allow at least"):
        Ranker(colbert, InfoNCELoss(), grad_cache_tokens=0)
    pairs = ListCollate(cross_encoder.tokenizer)(lists.lists("train")[:2])
    with pytest.raises(InputError, match="the batch holds pairs"):
        cached_scores(colbert, pairs.features, micro_batch_tokens=1000)
