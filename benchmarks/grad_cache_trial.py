"""A process that measures the memory and the time of one training step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.grad_cache_model import (
    CACHED,
    FIRST_WORD,
    PYLATE,
    SENTENCE_TRANSFORMERS,
    VOCABULARY,
    WHOLE,
    Plan,
)
from benchmarks.memory_peak import peak_growth
from benchmarks.workers import answer
from rankgrad.data.collate import LateInteractionFeatures, TextTokens
from rankgrad.models import ColBERT
from rankgrad.training import cached_scores

Step = Callable[[Tensor, Tensor], Tensor]
_SMALL = 2


def work(job: dict[str, Any]) -> dict[str, float]:
    """MiB at the peak of a step beyond what is held before, its seconds and its loss."""
    plan = Plan(*job["plan"])
    step = _STEPS[job["provider"]](job["folder"], plan, job["device"])
    step(*_tokens(plan, _SMALL, job["device"]))
    batch = _tokens(plan, job["queries"], job["device"])
    found: dict[str, float] = {}

    def measured() -> None:
        begin = time.perf_counter()
        loss = step(*batch)
        found["loss"] = float(loss.detach())
        found["seconds"] = time.perf_counter() - begin

    try:
        found["growth"] = peak_growth(measured, device=job["device"])
    except torch.OutOfMemoryError:
        return {"growth": float(1 << 30), "seconds": 0.0, "loss": 0.0}
    return found


def _tokens(plan: Plan, queries: int, device: str) -> tuple[Tensor, Tensor]:
    """Ids of queries ``[Q, Lq]`` and documents ``[Q, 2, Ld]``, the first of the two relevant."""
    draw = torch.Generator().manual_seed(queries)
    sizes = (queries, plan.query_tokens), (queries, 2, plan.document_tokens)
    made = [torch.randint(FIRST_WORD, VOCABULARY, size, generator=draw).to(device) for size in sizes]
    return made[0], made[1]


def _ours(folder: str, plan: Plan, device: str, *, cached: bool) -> Step:
    model = ColBERT.from_pretrained(folder).to(device).train()

    def as_tokens(ids: Tensor) -> TextTokens:
        ones = torch.ones_like(ids)
        return TextTokens(ids, ones, torch.zeros_like(ids), ones.bool())

    def step(queries: Tensor, documents: Tensor) -> Tensor:
        groups = [as_tokens(rows) for rows in documents.flatten(0, 1).split(plan.rows)]
        features = LateInteractionFeatures(as_tokens(queries), groups, None)
        tokens = plan.rows * plan.document_tokens
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            scores = cached_scores(model, features, micro_batch_tokens=tokens) if cached else model(features)
        loss = cross_entropy(scores, 2 * torch.arange(len(queries), device=device))
        loss.backward()
        return loss

    return step


class _ForPyLate(nn.Module):
    """Our model in the form in which PyLate's loss calls its own: the loss is what is compared.

    PyLate (1.6) cannot load its own class with sentence-transformers 6.2.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.model = ColBERT.from_pretrained(folder)
        self.skiplist: list[int] = []
        self.do_query_expansion = False

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"token_embeddings": self.model.forward_tokens(features["input_ids"], features["attention_mask"])}


def _pylate(folder: str, plan: Plan, device: str) -> Step:
    from pylate.losses import CachedContrastive  # pyright: ignore[reportMissingImports]

    model: Any = _ForPyLate(folder).to(device).train()
    return _of_features(CachedContrastive(model, mini_batch_size=plan.rows), device)


def _sentence_transformers(folder: str, plan: Plan, device: str) -> Step:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.losses import (
        CachedMultiVectorMultipleNegativesRankingLoss,
    )

    model = MultiVectorEncoder(folder, device=device).train()
    return _of_features(CachedMultiVectorMultipleNegativesRankingLoss(model, mini_batch_size=plan.rows), device)


def _of_features(loss_of: Callable[..., Tensor], device: str) -> Step:
    """A step of a loss that takes one dictionary a column: query, positive, negative."""

    def step(queries: Tensor, documents: Tensor) -> Tensor:
        columns = (queries, documents[:, 0], documents[:, 1])
        features = [{"input_ids": ids.contiguous(), "attention_mask": torch.ones_like(ids)} for ids in columns]
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            loss = loss_of(features, torch.zeros(len(queries), device=device))
        loss.backward()
        return loss

    return step


_STEPS: dict[str, Callable[[str, Plan, str], Step]] = {
    WHOLE: lambda folder, plan, device: _ours(folder, plan, device, cached=False),
    CACHED: lambda folder, plan, device: _ours(folder, plan, device, cached=True),
    PYLATE: _pylate,
    SENTENCE_TRANSFORMERS: _sentence_transformers,
}

if __name__ == "__main__":
    answer(work)
