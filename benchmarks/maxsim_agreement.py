"""MaxSim by definition in higher precision, and how far providers are from it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.maxsim_data import Batch
from benchmarks.maxsim_providers import Provider
from benchmarks.parity import TOLERANCE, DisagreementError

HALF_TOLERANCE = 2e-2
_CHUNK_ELEMENTS = 1 << 27
# Two maxima nearer than this may change places: by float32 sums, and where similarities are rounded to bfloat16.
_NEAR, _NEAR_ROUNDED = 1e-6, 2.0**-8
# A place that changed alters a gradient by at most about this many times what the average one contributes.
_MARGIN = 3.0


class Exact(NamedTuple):
    """Scores ``[Q, N]``; gradients of queries and documents under ``upstream``; gaps to the runners-up ``[Q, Lq, N]``
    of hard maxima.

    From float64 on a CPU, and from float32 of the same rounded inputs on a GPU.
    """

    scores: Tensor
    upstream: Tensor
    queries: Tensor | None
    documents: Tensor | None
    gaps: Tensor | None
    temperature: float

    def near(self, gap: float) -> float:
        """The share of maxima whose runner-up is nearer than ``gap``."""
        return 0.0 if self.gaps is None else float((self.gaps < gap).double().mean())


class Found(NamedTuple):
    """A provider's differences: of scores relative to the largest (at least 1), of gradients in relative L2."""

    scores: float
    gradients: float | None
    allowed_gradients: float


def exact(batch: Batch, upstream: Tensor, *, temperature: float = 0.0, gradients: bool = False) -> Exact:
    """The definition, some documents at a time, with no implementation of ours or of a peer."""
    wide = torch.float64 if batch.queries.device.type == "cpu" else torch.float32
    queries = batch.queries.detach().to(wide).requires_grad_(gradients)
    rows = queries.shape[0] * queries.shape[1] * batch.documents.shape[1]
    step = max(1, _CHUNK_ELEMENTS // rows)
    scores, gaps, grad_documents = [], [], []
    grad_queries = torch.zeros_like(queries) if gradients else None
    for first in range(0, batch.documents.shape[0], step):
        documents = batch.documents[first : first + step].detach().to(wide).requires_grad_(gradients)
        similarities = torch.einsum("qtd,nsd->qtns", queries, documents)
        if batch.mask is not None:
            similarities = similarities.masked_fill(~batch.mask[first : first + step], float("-inf"))
        if temperature:
            part = (temperature * (similarities / temperature).logsumexp(dim=-1)).sum(dim=1)
        else:
            part = similarities.max(dim=-1).values.sum(dim=1)
        if gradients:
            if not temperature:
                highest = similarities.detach().topk(2, dim=-1).values
                gaps.append(highest[..., 0] - highest[..., 1])
            from_queries, from_documents = torch.autograd.grad(
                part, (queries, documents), upstream[:, first : first + step].to(wide)
            )
            grad_queries = from_queries if grad_queries is None else grad_queries + from_queries
            grad_documents.append(from_documents)
        scores.append(part.detach())
    return Exact(
        torch.cat(scores, dim=1),
        upstream,
        grad_queries,
        torch.cat(grad_documents) if gradients else None,
        torch.cat(gaps, dim=-1) if gaps else None,
        temperature,
    )


def compare(provider: Provider, batch: Batch, wanted: Exact) -> Found:
    """Run a provider once and compare its scores, and its gradients where ``wanted`` has them."""
    queries, documents = leaves(provider, batch, gradient=wanted.queries is not None)
    with torch.set_grad_enabled(wanted.queries is not None):
        scores = provider.scores(queries, documents, batch)
    if scores.shape != wanted.scores.shape:
        raise DisagreementError(f"{provider.name}: scores are {list(scores.shape)}, not {list(wanted.scores.shape)}")
    largest = max(1.0, float(wanted.scores.abs().max()))
    difference = float((scores.detach().to(wanted.scores) - wanted.scores).abs().max()) / largest
    if wanted.queries is None or wanted.documents is None:
        return Found(difference, None, 0.0)
    found = torch.autograd.grad(scores, (queries, documents), wanted.upstream.to(scores.dtype))
    reference = wanted.documents[batch.mask] if provider.packed and batch.mask is not None else wanted.documents
    apart = max(_relative(found[0], wanted.queries), _relative(found[1].view_as(reference), reference))
    error = _NEAR_ROUNDED if provider.rounds else _NEAR
    if wanted.temperature:
        # A soft maximum changes no place; its weights move by the error of a similarity over the temperature.
        return Found(difference, apart, tolerance(batch) + error / wanted.temperature)
    return Found(difference, apart, tolerance(batch) + _MARGIN * (2.0 * wanted.near(error)) ** 0.5)


def check(provider: Provider, batch: Batch, found: Found) -> None:
    """Refuse a provider that disagrees.

    Raises:
        DisagreementError: naming the provider, what was found and what is allowed.
    """
    if not found.scores <= tolerance(batch):
        raise DisagreementError(
            f"{provider.name}: scores differ by {found.scores:.2g}, allowed is {tolerance(batch):.2g}"
        )
    if found.gradients is not None and not found.gradients <= found.allowed_gradients:
        raise DisagreementError(
            f"{provider.name}: gradients differ by {found.gradients:.2g}, allowed is {found.allowed_gradients:.2g}"
        )


def leaves(provider: Provider, batch: Batch, *, gradient: bool) -> tuple[Tensor, Tensor]:
    """Queries and documents as a provider takes them, to be differentiated where ``gradient``."""
    pair = (batch.queries, provider.documents(batch))
    return (pair[0].detach().requires_grad_(gradient), pair[1].detach().requires_grad_(gradient))


def tolerance(batch: Batch) -> float:
    """What scores may differ by in the precision of the inputs."""
    return TOLERANCE if batch.queries.dtype == torch.float32 else HALF_TOLERANCE


def _relative(found: Tensor, reference: Tensor) -> float:
    return float((found.to(reference) - reference).norm() / reference.norm())
