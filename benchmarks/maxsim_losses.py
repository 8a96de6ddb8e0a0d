"""Contrastive losses on token embeddings: the scores as each library's own loss calls them, then cross entropy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops import maxsim

DOCUMENTS_EACH = 2


class Loss(NamedTuple):
    """Its name; ``scores(queries, documents, query_mask, document_mask)`` ``[Q, 2Q]``; the package that it needs.

    Documents are ``[Q, 2, Ld, D]``, of which the first of each query is its positive; both losses of the peers are
    given masks always, so all are.
    """

    name: str
    scores: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    package: str = "torch"

    def step(self, queries: Tensor, documents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss and its gradients of queries and documents, all tokens real."""
        query_mask, document_mask = (torch.ones_like(each[..., 0], dtype=torch.bool) for each in (queries, documents))
        scores = self.scores(queries, documents, query_mask, document_mask)
        positives = torch.arange(queries.shape[0], device=queries.device) * DOCUMENTS_EACH
        loss = torch.nn.functional.cross_entropy(scores, positives)
        from_queries, from_documents = torch.autograd.grad(loss, (queries, documents))
        return loss, from_queries, from_documents


def losses(device: str) -> list[Loss]:
    """Who is measured: ours, and what PyLate's Contrastive and sentence-transformers' ranking loss call."""
    found = [
        Loss("rankgrad", _ours),
        Loss("PyLate", _pylate, "pylate"),
        Loss("sentence-transformers", _sentence_transformers, "sentence_transformers"),
    ]
    if device != "cpu":
        found.append(Loss("late-interaction-kernels", _late_interaction_kernels, "late_interaction_kernels"))
        found.append(Loss("flash-maxsim", _flash_maxsim, "flash_maxsim"))
    return found


def _ours(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    return maxsim(queries, documents.flatten(0, 1), query_mask, document_mask.flatten(0, 1))


def _pylate(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    from pylate.scores import ColBERTScores  # pyright: ignore[reportMissingImports]

    # Its loss passes no query mask where queries are expanded, which is its default.
    return ColBERTScores()(queries, documents, documents_mask=document_mask, backend="torch")


def _sentence_transformers(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    from sentence_transformers.multi_vector_encoder.scoring import colbert_scores

    return colbert_scores(queries, documents, queries_mask=query_mask, documents_mask=document_mask)


def _late_interaction_kernels(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    from late_interaction_kernels import maxsim as peer  # pyright: ignore[reportMissingImports]

    return peer(queries, documents.flatten(0, 1), q_mask=query_mask, d_mask=document_mask.flatten(0, 1))


def _flash_maxsim(queries: Tensor, documents: Tensor, query_mask: Tensor, document_mask: Tensor) -> Tensor:
    from flash_maxsim import flash_maxsim_batched_train  # pyright: ignore[reportMissingImports]

    lengths = document_mask.flatten(0, 1).sum(dim=1)
    return flash_maxsim_batched_train(queries, documents.flatten(0, 1), shared_docs=True, doc_lengths=lengths)
