"""The same numbers on CUDA as on the CPU: operators, losses, and a training step of each model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rankgrad.data import CandidateList
from rankgrad.data.collate import LateInteractionFeatures, ListBatch, ListCollate, PairFeatures, TextTokens
from rankgrad.data.position_bias import examinations_by_em, examinations_by_interventions
from rankgrad.losses import ApproxNDCG, InfoNCELoss, KLDistillLoss, MarginMSELoss, SoftmaxLoss
from rankgrad.metrics import NDCG
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.ops import hard_rank, maxsim, soft_rank

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bash benchmarks/gpu.sh")

LOSSES = (SoftmaxLoss(), InfoNCELoss(), MarginMSELoss(), KLDistillLoss(), ApproxNDCG())
SHAPES = {"all_pairs": (5, 33, 24), "candidates": (3, 5, 33, 24), "pairs": (3, 33, 24)}
LISTS = [
    CandidateList("open a file", ("read its lines", "sort the values of a dictionary"), (1.0, 0.0)),
    CandidateList("sort by key", ("sort the values of a dictionary by key", "a date from text"), (1.0, 0.0)),
]


def assert_close(here: object, there: object, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(here, there, rtol=tolerance, atol=tolerance)


def on_both(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The result and the gradients of the floating inputs, on the CPU and on CUDA, under one upstream gradient."""
    found = []
    upstream: Tensor | None = None
    for device in ("cpu", "cuda"):
        here = [each.to(device, copy=True).requires_grad_(each.is_floating_point()) for each in inputs]
        result = function(*here)
        upstream = torch.randn(result.shape) if upstream is None else upstream
        assert result.device.type == device
        result.backward(upstream.to(device))
        gradients = [each.grad for each in here if each.grad is not None]
        found.append([each.detach().cpu() for each in (result, *gradients)])
    return found[0], found[1]


@pytest.mark.parametrize("layout", SHAPES)
def test_maxsim(layout: str) -> None:
    queries, documents = torch.randn(3, 7, 24), torch.randn(SHAPES[layout])
    query_mask, document_mask = torch.rand(3, 7) > 0.3, torch.rand(SHAPES[layout][:-1]) > 0.3

    def scores(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
        return maxsim(queries, documents, query_mask, document_mask, layout=layout)  # type: ignore[arg-type]

    assert_close(*on_both(scores, queries, documents, query_mask, document_mask))


def test_examinations_from_clicks() -> None:
    clicks, items = torch.rand(40, 3) > 0.4, torch.rand(40, 3).argsort(dim=1)
    for learn in (examinations_by_em, examinations_by_interventions):
        found = learn(clicks.cuda(), items.cuda())
        assert found.device.type == "cuda"
        torch.testing.assert_close(found.cpu(), learn(clicks, items))


def test_judged_labels_may_lie_elsewhere() -> None:
    scores, labels, judged = torch.rand(2, 4), torch.tensor([[1.0, 0, 2, 0]] * 2), torch.tensor([[2.0, 1, 1]] * 2)
    metric = NDCG(k=3)
    torch.testing.assert_close(
        metric(scores.cuda(), labels.cuda(), judged=judged).cpu(), metric(scores, labels, judged=judged)
    )


def test_maxsim_packed() -> None:
    cu_seqlens = torch.tensor([0, 9, 9, 30, 50], dtype=torch.int32)

    def scores(queries: Tensor, documents: Tensor, mask: Tensor, offsets: Tensor) -> Tensor:
        return maxsim(queries, documents, mask, document_cu_seqlens=offsets)

    assert_close(*on_both(scores, torch.randn(3, 7, 24), torch.randn(50, 24), torch.rand(3, 7) > 0.3, cu_seqlens))


@pytest.mark.parametrize("items", [17, 3000])
def test_soft_rank(items: int) -> None:
    mask = torch.rand(2, items) > 0.2

    def ranks(values: Tensor, mask: Tensor) -> Tensor:
        return soft_rank(values, temperature=0.5, mask=mask)

    assert_close(*on_both(ranks, torch.randn(2, items), mask), tolerance=1e-3)


def test_hard_rank_with_ties() -> None:
    values = torch.randint(0, 5, (4, 50)).float()
    assert torch.equal(hard_rank(values), hard_rank(values.cuda()).cpu())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses(loss: nn.Module) -> None:
    labels, mask = torch.randint(0, 3, (6, 9)), torch.rand(6, 9) > 0.2
    mask[0] = False

    def value(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return loss(scores, labels.float(), mask)

    assert_close(*on_both(value, torch.randn(6, 9), labels, mask))


@pytest.mark.parametrize("kind", ["colbert", "cls", "mean", "interaction"])
def test_a_training_step(tiny_encoder_folder: Path, kind: str) -> None:
    if kind == "colbert":
        model = ColBERT.from_pretrained(tiny_encoder_folder, dim=16)
    else:
        model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=kind)  # type: ignore[arg-type]
    batch = ListCollate(model.tokenizer, in_batch_negatives=kind == "colbert")(LISTS)
    losses, after = [], []
    for device in ("cpu", "cuda"):
        here, moved = copy.deepcopy(model).to(device), to_device(batch, device)
        optimizer = torch.optim.SGD(here.parameters(), lr=0.1)
        loss = SoftmaxLoss()(here(moved.features), moved.labels, moved.mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().cpu())
        after.append({name: value.detach().cpu() for name, value in here.named_parameters()})
    assert_close(*losses)
    assert_close(*after, tolerance=1e-3)
    assert any(not torch.equal(value, after[1][name]) for name, value in model.named_parameters())


@pytest.mark.parametrize("kind", ["colbert", "cls"])
def test_scores(tiny_ranker: Callable[[str], ColBERT | CrossEncoder], kind: str) -> None:
    model = tiny_ranker(kind)
    query, documents = LISTS[0].query, list(LISTS[0].documents)
    found = []
    for device in ("cpu", "cuda"):
        here = copy.deepcopy(model).to(device)
        with torch.inference_mode():
            if isinstance(here, CrossEncoder):
                found.append(here.score([query] * 2, documents).cpu())
            else:
                found.append(here.score([query], here.encode_documents(documents)).cpu())
    assert_close(*found)


def to_device(batch: ListBatch, device: str) -> ListBatch:
    """The batch with all its tensors on a device."""

    def tokens(group: TextTokens) -> TextTokens:
        return TextTokens(*(field.to(device) for field in group))

    features = batch.features
    if isinstance(features, PairFeatures):
        moved = PairFeatures([tokens(group) for group in features.groups], features.slots.to(device))
    else:
        slots = None if features.slots is None else features.slots.to(device)
        documents = [tokens(group) for group in features.documents]
        moved = LateInteractionFeatures(tokens(features.queries), documents, slots)
    return batch._replace(features=moved, labels=batch.labels.to(device), mask=batch.mask.to(device))
