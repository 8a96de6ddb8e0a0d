"""MaxSim backward on a CPU: hard maxima gather rows by the kept places, soft ones meet their similarities again.

Sums go through ``embedding_bag`` and ``index_add``, which add to a row in a fixed order: repeatable, no atomics.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from rankgrad.ops.maxsim.cpu_blocks import (
    Memory,
    Part,
    document_starts,
    parts,
    query_vectors,
    repeated,
    runs,
    similarities,
    spans,
    tiles,
)
from rankgrad.ops.maxsim.problem import Problem

_SPAN_ELEMENTS = 1 << 20


def backward(
    problem: Problem, gradients: Tensor, residual: Tensor, *, queries: bool, documents: bool, weights: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of the queries, the documents and the query weights, those asked for."""
    soft, dtype, gradients = problem.temperature > 0, problem.dtype, gradients.to(problem.dtype)
    # Until the end those of the queries are without their weights: for hard maxima, those of the weights need them so.
    grad_queries = torch.zeros(problem.queries.shape, dtype=dtype) if queries or (weights and not soft) else None
    grad_documents = torch.zeros(problem.documents.shape, dtype=dtype) if documents else None
    chunks = parts(problem)
    if chunks and problem.documents.numel() and (grad_queries is not None or grad_documents is not None):
        (_soft if soft else _hard)(problem, chunks, gradients, residual, grad_queries, grad_documents)
    grad_weights = None
    if weights and soft:
        maxima = residual[0].masked_fill(residual[0].isneginf(), 0.0)
        grad_weights = torch.einsum("nr,rn->r", maxima, gradients[problem.row_query()])
    elif weights and grad_queries is not None:
        grad_weights = (grad_queries * problem.queries).sum(dim=1)
        if problem.query_mask is not None:
            grad_weights.masked_fill_(~problem.query_mask, 0.0)
    scale = problem.row_scale()
    if queries and grad_queries is not None and scale is not None:
        grad_queries.mul_(scale.unsqueeze(1))
    return grad_queries if queries else None, grad_documents, grad_weights


def _hard(
    problem: Problem,
    chunks: list[Part],
    gradients: Tensor,
    residual: Tensor,
    grad_queries: Tensor | None,
    grad_documents: Tensor | None,
) -> None:
    """Every place taken is a query row times a factor to a document row, and the other way round."""
    starts, scale, query = document_starts(problem), problem.row_scale(), problem.row_query()
    pairs = chunks[0].rows.shape[1] * problem.top_k
    for first, last in spans(starts, _SPAN_ELEMENTS // problem.documents.shape[1], _SPAN_ELEMENTS // pairs):
        documents, span = torch.arange(first, last), slice(starts[first], starts[last])
        tokens = problem.documents[span].to(problem.dtype)
        candidates = (documents % problem.candidates).unsqueeze(1)
        before = torch.tensor(starts[first:last], dtype=torch.int32).sub_(span.start).unsqueeze(1)
        for part in chunks:
            rows, real = part.met(documents, problem.candidates)
            places, factors = residual[:, candidates, rows], gradients[query[rows], candidates]
            taken = places >= 0 if real is None else (places >= 0) & real
            if problem.top_k > 1:
                factors = factors / taken.sum(dim=0).clamp(min=1)
            low, high = int(rows.min()), int(rows.max()) + 1
            row = (rows - low).int().expand_as(taken)[taken]
            token, factor = (places + before)[taken], factors.expand_as(taken)[taken]
            if grad_queries is not None:
                grad_queries[low:high] += _sums(row, token, factor, tokens, high - low)
            if grad_documents is not None:
                if scale is not None:
                    factor = factor * scale[low:high][row]
                vectors = problem.queries[low:high].to(problem.dtype)
                grad_documents[span] += _sums(token, row, factor, vectors, tokens.shape[0])


def _sums(destinations: Tensor, sources: Tensor, factors: Tensor, table: Tensor, count: int) -> Tensor:
    """``result[destination] = sum factor * table[source]``, ``[count, dim]``."""
    if not destinations.shape[0]:
        return table.new_zeros((count, table.shape[1]))
    order = destinations.sort(stable=True).indices
    bounds = pad(destinations.bincount(minlength=count).cumsum(0), (1, 0)).int()
    return embedding_bag(
        sources[order], table, bounds, mode="sum", per_sample_weights=factors[order], include_last_offset=True
    )


def _soft(
    problem: Problem,
    chunks: list[Part],
    gradients: Tensor,
    residual: Tensor,
    grad_queries: Tensor | None,
    grad_documents: Tensor | None,
) -> None:
    """A token's share in the soft maximum of a row is ``exp((similarity - maximum) / temperature)``."""
    scale, query, memory = problem.row_scale(), problem.row_query(), (Memory(problem.dtype), Memory(problem.dtype))
    for run in runs(problem, chunks[0].rows.shape[1]):
        candidates = (run.documents % problem.candidates).unsqueeze(1)
        for part in chunks:
            met = part.met(run.documents, problem.candidates)
            maxima, factors = residual[0, candidates, met.rows], gradients[query[met.rows], candidates]
            if met.real is not None:
                maxima, factors = maxima.masked_fill(~met.real, 0.0), factors.masked_fill(~met.real, 0.0)
            shared = query_vectors(problem, met) if met.rows.shape[0] == 1 else None
            for tile in tiles(problem, run, met.rows.shape[1], memory[0]):
                rows = met.met_by(tile).rows
                vectors = query_vectors(problem, met.met_by(tile)) if shared is None else shared
                shares = similarities(tile.tokens, vectors, memory[1]).sub_(maxima[tile.span].unsqueeze(1))
                shares.div_(problem.temperature).exp_().mul_(factors[tile.span].unsqueeze(1))
                absent = repeated(run, tile)
                if absent is not None:
                    shares.masked_fill_(absent, 0.0)
                if grad_queries is not None:
                    left, right = shares, tile.tokens
                    if shared is not None:
                        left, right = left.flatten(0, 1), right.flatten(0, 1)
                    grad_queries.index_add_(0, rows.flatten(), (left.mT @ right).view(rows.numel(), -1))
                if grad_documents is None:
                    continue
                if scale is not None:
                    shares.mul_(scale[rows].unsqueeze(1))
                found = (shares @ vectors).flatten(0, 1)
                if isinstance(tile.rows, slice):
                    grad_documents[tile.rows] += found
                else:
                    grad_documents.index_add_(0, tile.rows, found)
