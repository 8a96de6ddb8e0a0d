"""A process of the memory case: the agreement of the losses, one trial, or on a GPU all searches."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.largest import largest
from benchmarks.left_out import unless_left_out
from benchmarks.maxsim_agreement import tolerance
from benchmarks.maxsim_data import Batch, Shape, make
from benchmarks.maxsim_losses import DOCUMENTS_EACH, Loss, losses
from benchmarks.maxsim_providers import installed
from benchmarks.memory_peak import peak_growth
from benchmarks.parity import DisagreementError
from benchmarks.workers import answer

_SMALL = 4


def work(job: dict[str, Any]) -> Any:
    """What the job's task asks for."""
    device, tokens = job["device"], job["plan"][:3]
    if job["task"] == "agreement":
        return agreement(device, tokens)
    named = {each.name: each for each in losses(device)}
    if job["task"] == "trial":
        return trial(named[job["provider"]], device, tokens, job["queries"])
    return {name: search(named[name], device, *job["plan"]) for name in job["providers"]}


def search(loss: Loss, device: str, *plan: Any) -> list[tuple[int, int | None, float | None]]:
    """Each budget with the most queries that fit it and what they take; trials in this process, whose count of memory
    begins anew at each."""
    *tokens, budgets, among = plan

    @cache
    def peak(queries: int) -> float:
        try:
            growth = trial(loss, device, tokens, queries)
        except torch.OutOfMemoryError:
            growth = float("inf")
        print(f"trial, {loss.name}: {queries} queries take {growth:.1f} MiB beyond the inputs", flush=True)
        return growth

    found = [(budget, largest(peak, budget, among)) for budget in budgets]
    return [(budget, queries, peak(queries) if queries else None) for budget, queries in found]


def trial(loss: Loss, device: str, tokens: list[int], queries: int) -> float:
    """MiB beyond the inputs at the peak of the loss and its gradients."""
    loss.step(*_leaves(_inputs(device, tokens, _SMALL)))
    inputs = _leaves(_inputs(device, tokens, queries))
    return peak_growth(lambda: loss.step(*inputs), device=device)


def agreement(device: str, tokens: list[int]) -> dict[str, float]:
    """How far each provider's loss is from the definition's in higher precision, relative to it (but at least 1).

    Raises:
        DisagreementError: where ours is further than the tolerance; a peer that is, or fails, is left out.
    """
    batch = _inputs(device, tokens, _SMALL)
    reference = float(Loss("definition", _by_definition).step(*(each.double() for each in _leaves(batch)))[0].detach())
    differences = {}
    for loss in installed(losses(device)):
        difference = unless_left_out(loss.name, "loss", partial(_difference, loss, batch, reference))
        if difference is not None:
            print(f"parity: {loss.name}: the loss differs by {difference:.1e}", flush=True)
            differences[loss.name] = difference
    return differences


def _difference(loss: Loss, batch: Batch, reference: float) -> float:
    found = float(loss.step(*_leaves(batch))[0].detach())
    difference = abs(found - reference) / max(1.0, abs(reference))
    if not difference <= tolerance(batch):
        raise DisagreementError(f"{loss.name}: loss {found:.6f}, by definition {reference:.6f}")
    return difference


def _inputs(device: str, tokens: list[int], queries: int) -> Batch:
    query_tokens, document_tokens, dim = tokens
    shape = Shape(queries, DOCUMENTS_EACH * queries, query_tokens, document_tokens, dim=dim)
    return make(shape, device=device, dtype=torch.float32 if device == "cpu" else torch.bfloat16)


def _leaves(batch: Batch) -> tuple[Tensor, Tensor]:
    documents = batch.documents.unflatten(0, (-1, DOCUMENTS_EACH))
    return batch.queries.detach().requires_grad_(), documents.detach().requires_grad_()


def _by_definition(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    return torch.einsum("qtd,nsd->qtns", queries, documents.flatten(0, 1)).amax(dim=-1).sum(dim=1)


if __name__ == "__main__":
    answer(work)
