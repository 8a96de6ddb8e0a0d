"""MaxSim by definition: the specification, the export path and the oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops.maxsim.problem import owned, owners

NO_TOKEN = float("-inf")


def scores(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    document_offsets: Tensor | None,
    *,
    candidates: int | None,
    query_of_row: Tensor | None = None,
    temperature: float = 0.0,
    top_k: int = 1,
) -> Tensor:
    """Sum over query tokens of the maximum, soft maximum or mean of the ``top_k`` highest similarities.

    Args:
        queries: ``[Q, Lq, D]``.
        documents: ``[N, Ld, D]``, ``[Q, N, Ld, D]``, or packed ``[total, D]`` with ``document_offsets``.
        query_mask, query_weights: ``[Q, Lq]``.
        document_mask: like documents without ``D``.
        document_offsets: ``[documents + 1]``.
        candidates: packed documents of each query's own; None when all queries share them.
        query_of_row: whose documents each of the ``Q`` is to meet, where ``Q`` counts rows of packed queries.

    Returns:
        ``[Q, N]``: 0 for a query without a real token, else ``-inf`` for a document without one.
    """
    if query_mask is None:
        query_mask = torch.ones(queries.shape[:2], dtype=torch.bool, device=queries.device)
    else:
        # Contents of masked tokens would reach the documents' gradient as 0 * NaN.
        queries = queries.masked_fill(~query_mask.unsqueeze(-1), 0.0)
    if document_offsets is None:
        if document_mask is not None:
            documents = documents.masked_fill(~document_mask.unsqueeze(-1), 0.0)
        if documents.dim() == 4 and query_of_row is not None:
            documents = documents[query_of_row]
            document_mask = None if document_mask is None else document_mask[query_of_row]
        values, empty = _padded(queries, documents, document_mask, temperature, top_k)
    else:
        values, empty = _packed(queries, documents, document_mask, document_offsets, temperature, top_k)
        if candidates:
            mine = torch.arange(queries.shape[0], device=queries.device) if query_of_row is None else query_of_row
            rows = torch.arange(queries.shape[0], device=queries.device)
            values = values.unflatten(-1, (-1, candidates))[rows, :, mine]
            empty = empty.view(-1, candidates)[mine]
    # An empty document's values are -inf and a masked token's may be NaN: neither may meet a weight.
    values = values.masked_fill(empty.unsqueeze(1) | ~query_mask.unsqueeze(-1), 0.0)
    if query_weights is not None:
        values = values * query_weights.to(values.dtype).masked_fill(~query_mask, 0.0).unsqueeze(-1)
    return values.sum(dim=1).masked_fill(empty & query_mask.any(dim=1, keepdim=True), NO_TOKEN)


def _padded(
    queries: Tensor, documents: Tensor, mask: Tensor | None, temperature: float, top_k: int
) -> tuple[Tensor, Tensor]:
    """Values ``[Q, Lq, N]`` and which documents are empty ``[Q or 1, N]``."""
    equation = "qtd,nsd->qtns" if documents.dim() == 3 else "qtd,qnsd->qtns"
    similarities = torch.einsum(equation, queries, documents)
    if similarities.shape[-1] == 0:
        values = similarities.sum(dim=-1)
        return values, torch.ones_like(values[:1, 0] if values.shape[1] else values.sum(1)[:1], dtype=torch.bool)
    shared = documents.dim() == 3
    if mask is None:
        empty = similarities.new_zeros(1, similarities.shape[2], dtype=torch.bool)
    else:
        mask = mask.unsqueeze(0) if shared else mask
        empty = ~mask.any(dim=-1)
        similarities = similarities.masked_fill(~mask.unsqueeze(1), NO_TOKEN)
    if temperature:
        return temperature * (similarities / temperature).logsumexp(dim=-1), empty
    if top_k == 1:
        return similarities.max(dim=-1).values, empty
    highest, places = similarities.sort(dim=-1, descending=True, stable=True)
    highest, places = highest[..., :top_k], places[..., :top_k]
    if mask is None:
        return highest.mean(dim=-1), empty
    real = mask.unsqueeze(1).expand(similarities.shape).gather(-1, places)
    return highest.masked_fill(~real, 0.0).sum(dim=-1) / real.sum(dim=-1).clamp(min=1), empty


def _packed(
    queries: Tensor, documents: Tensor, mask: Tensor | None, offsets: Tensor, temperature: float, top_k: int
) -> tuple[Tensor, Tensor]:
    """Values ``[Q, Lq, N]`` and which documents are empty ``[1, N]``: reductions over the rows of each document."""
    real = owned(offsets, documents.shape[0])
    if mask is not None:
        real = real & mask
    similarities = queries @ documents.masked_fill(~real.unsqueeze(-1), 0.0).T
    owner = owners(offsets, 0, documents.shape[0], documents.device).long()
    count = offsets.shape[0] - 1
    tokens = torch.zeros(count, dtype=torch.long, device=owner.device).index_add(0, owner, real.long())
    similarities = similarities.masked_fill(~real, NO_TOKEN)
    owner_of = owner.expand(similarities.shape)
    empty = similarities.new_full((*queries.shape[:2], count), NO_TOKEN)
    if temperature:
        scaled = similarities / temperature
        peak = empty.scatter_reduce(-1, owner_of, scaled.detach(), "amax", include_self=True)
        peak = peak.masked_fill(peak.isneginf(), 0.0)
        sums = torch.zeros_like(empty).scatter_add(-1, owner_of, (scaled - peak[..., owner]).exp())
        nothing = (tokens == 0).expand(sums.shape)
        return temperature * (sums.masked_fill(nothing, 1.0).log() + peak), (tokens == 0).unsqueeze(0)
    # Highest first and then, stably, by document: the first ``top_k`` of each document lead its part.
    order = similarities.detach().argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, owner[order].argsort(dim=-1, stable=True))
    first = torch.searchsorted(owner, torch.arange(count, device=owner.device))
    place = torch.arange(documents.shape[0], device=owner.device) - first[owner]
    counted = place < tokens.clamp(max=top_k)[owner]
    highest = similarities.gather(-1, order).masked_fill(~counted, 0.0)
    sums = torch.zeros_like(empty).scatter_add(-1, owner_of, highest)
    return sums / tokens.clamp(min=1, max=top_k), (tokens == 0).unsqueeze(0)
