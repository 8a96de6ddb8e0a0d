"""Who computes MaxSim: each provider turns token embeddings into scores, with a gradient where one is wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from benchmarks.maxsim_data import Batch
from rankgrad.ops import maxsim

TEMPERATURE = 0.05
_BLOCK = 64


class Optional(Protocol):
    """What is measured only where its package is installed."""

    @property
    def name(self) -> str: ...

    @property
    def package(self) -> str: ...


Wanted = TypeVar("Wanted", bound=Optional)


class Provider(NamedTuple):
    """Its name; ``scores(queries, documents, batch)`` with documents padded or packed; the package that it needs.

    ``rounds``: it rounds similarities to the type of the operands before their maximum, so near ties may fall
    otherwise.
    """

    name: str
    scores: Callable[[Tensor, Tensor, Batch], Tensor]
    package: str = "torch"
    packed: bool = False
    rounds: bool = False

    def documents(self, batch: Batch) -> Tensor:
        """The documents in the form it takes."""
        return batch.packed if self.packed else batch.documents


def reranking(*, device: str, ragged: bool) -> list[Provider]:
    """Providers of one query's scores without a gradient."""
    if device != "cpu":
        return [
            Provider("rankgrad", _ours),
            Provider("einsum+amax", _einsum, rounds=True),
            Provider("late-interaction-kernels", kernels_scores, "late_interaction_kernels"),
            Provider("flash-maxsim", _flash_maxsim, "flash_maxsim"),
            Provider("torch.compile max-autotune", _compiled, rounds=True),
        ]
    return [
        *_ours_by_form(ragged),
        Provider("einsum+amax", _einsum),
        Provider(f"matmul+amax, blocks of {_BLOCK}", _blocks),
        Provider("packed product, segment max", segments, packed=True),
        Provider("PyLate", _pylate, "pylate"),
        Provider("sentence-transformers", _sentence_transformers, "sentence_transformers"),
        Provider("maxsim-cpu", maxsim_cpu_scores, "maxsim_cpu"),
    ]


def training(*, device: str, ragged: bool) -> list[Provider]:
    """Providers of all pairs' scores with a gradient."""
    if device != "cpu":
        return [
            Provider("rankgrad", _ours),
            Provider("einsum+max, autograd", _einsum_max, rounds=True),
            Provider("late-interaction-kernels", kernels_scores, "late_interaction_kernels"),
            Provider("flash-maxsim", _flash_maxsim_training, "flash_maxsim"),
        ]
    return [
        *_ours_by_form(ragged),
        Provider("einsum+max, autograd", _einsum_max),
        Provider("PyLate", _pylate, "pylate"),
        Provider("sentence-transformers", _sentence_transformers, "sentence_transformers"),
    ]


def soft(*, device: str) -> list[Provider]:
    """Providers of soft maxima with a gradient; no other library has their backward pass."""
    return [
        Provider("rankgrad", _ours_soft),
        Provider("einsum+logsumexp, autograd", _einsum_soft, rounds=device != "cpu"),
    ]


def installed(providers: list[Wanted]) -> list[Wanted]:
    """Those whose package is there; of each other one a line says so."""
    found = []
    for provider in providers:
        if find_spec(provider.package) is None:
            print(f"skipped: {provider.name} (not installed; benchmarks/README.md says how)", flush=True)
        else:
            found.append(provider)
    return found


def _ours_by_form(ragged: bool) -> list[Provider]:
    if not ragged:
        return [Provider("rankgrad", _ours)]
    return [Provider("rankgrad, padded", _ours), Provider("rankgrad, packed", ours_packed, packed=True)]


def _ours(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    return maxsim(queries, documents, document_mask=batch.mask)


def ours_packed(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    return maxsim(queries, documents, document_cu_seqlens=batch.offsets)


def _ours_soft(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    return maxsim(queries, documents, document_mask=batch.mask, temperature=TEMPERATURE)


def _similarities(queries: Tensor, documents: Tensor, mask: Tensor | None) -> Tensor:
    found = torch.einsum("qtd,nsd->qtns", queries, documents)
    return found if mask is None else found.masked_fill(~mask, float("-inf"))


def _amax(queries: Tensor, documents: Tensor, mask: Tensor | None) -> Tensor:
    return _similarities(queries, documents, mask).amax(dim=-1).float().sum(dim=1)


def _einsum(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    return _amax(queries, documents, batch.mask)


def _einsum_max(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    # max sends the gradient to one place; that of amax divides it among ties, at twice the time.
    return _similarities(queries, documents, batch.mask).max(dim=-1).values.float().sum(dim=1)


def _einsum_soft(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    similarities = _similarities(queries, documents, batch.mask)
    return (TEMPERATURE * (similarities / TEMPERATURE).logsumexp(dim=-1)).float().sum(dim=1)


@cache
def _max_autotune() -> Callable[..., Tensor]:
    # Its CUDA graphs would copy the inputs; this benchmark captures one of every provider instead.
    return torch.compile(_amax, dynamic=False, mode="max-autotune-no-cudagraphs")


def _compiled(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    return _max_autotune()(queries, documents, batch.mask)


def _blocks(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    """One query against 64 documents at a time, cut to the longest of them."""
    found = []
    for first in range(0, documents.shape[0], _BLOCK):
        longest = max(batch.counts[first : first + _BLOCK])
        similarities = documents[first : first + _BLOCK, :longest] @ queries[0].T
        if batch.mask is not None:
            mask = batch.mask[first : first + _BLOCK, :longest]
            similarities = similarities.masked_fill(~mask.unsqueeze(-1), float("-inf"))
        found.append(similarities.amax(dim=1).sum(dim=-1))
    return torch.cat(found).unsqueeze(0)


def segments(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    """One query's product with all packed tokens at once, then the maximum of each document's rows."""
    similarities = documents @ queries[0].T
    maxima = torch.segment_reduce(similarities, "max", lengths=batch.lengths, axis=0, unsafe=True)
    return maxima.sum(dim=1).unsqueeze(0)


def _pylate(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    from pylate.scores import colbert_scores  # pyright: ignore[reportMissingImports]

    return colbert_scores(queries, documents, documents_mask=batch.mask, backend="torch")


def _sentence_transformers(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    from sentence_transformers.util import maxsim as peer

    return peer(queries, documents, b_mask=batch.mask)


def maxsim_cpu_scores(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    import maxsim_cpu  # pyright: ignore[reportMissingImports]

    query = queries[0].numpy()
    if batch.mask is None:
        found: Any = maxsim_cpu.maxsim_scores(query, documents.numpy())
    else:
        found = maxsim_cpu.maxsim_scores_variable(query, batch.arrays)
    return torch.as_tensor(found).unsqueeze(0)


def kernels_scores(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    from late_interaction_kernels import maxsim as peer  # pyright: ignore[reportMissingImports]

    return peer(queries, documents, d_mask=batch.mask)


def _flash_maxsim(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    from flash_maxsim import flash_maxsim  # pyright: ignore[reportMissingImports]

    return flash_maxsim(queries[0], documents, doc_lengths=_lengths(batch)).unsqueeze(0)


def _flash_maxsim_training(queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
    from flash_maxsim import flash_maxsim_batched_train  # pyright: ignore[reportMissingImports]

    return flash_maxsim_batched_train(queries, documents, shared_docs=True, doc_lengths=_lengths(batch))


def _lengths(batch: Batch) -> Tensor | None:
    return None if batch.mask is None else batch.lengths
