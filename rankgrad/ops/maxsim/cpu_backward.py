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
)  # fmt: skip
from rankgrad.ops.maxsim.problem import Problem

_SPAN_ELEMENTS = 1 << 20


def backward(
    problem: Problem, gradients: Tensor, residual: Tensor, *, queries: bool, documents: bool, weights: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of the queries, the documents and the query weights, those asked for."""
    soft, dtype = problem.temperature > 0, problem.dtype
    grad_queries = torch.zeros(problem.queries.shape, dtype=dtype) if queries or (weights and not soft) else None
    grad_documents = torch.zeros(problem.documents.shape, dtype=dtype) if documents else None
    gradients = gradients.to(dtype)
    if problem.documents.numel():
        (_soft if soft else _hard)(problem, gradients, residual, grad_queries, grad_documents)
    grad_weights = None
    if weights and soft:
        maxima = residual[0].masked_fill(residual[0].isneginf(), 0.0)
        grad_weights = torch.einsum("nr,rn->r", maxima, gradients[problem.row_query()])
    elif weights and grad_queries is not None:
        # The products with all tokens taken are the product with their sum, which so far has no weight.
        grad_weights = (grad_queries * problem.queries).sum(dim=1)
        if problem.query_mask is not None:
            grad_weights.masked_fill_(~problem.query_mask, 0.0)
    scale = problem.row_scale()
    if grad_queries is not None and scale is not None:
        grad_queries.mul_(scale.unsqueeze(1))
    return grad_queries if queries else None, grad_documents, grad_weights


def _kept(problem: Problem, gradients: Tensor, residual: Tensor, documents: Tensor, met: Part) -> tuple[Tensor, Tensor]:
    """The residual ``[top_k, documents, rows]`` and the gradient of its scores ``[documents, rows]``."""
    candidates = (documents % problem.candidates).unsqueeze(1)
    kept = residual[:, candidates, met.rows]
    factors = gradients[problem.row_query()[met.rows], candidates]
    return kept, factors


def _hard(
    problem: Problem, gradients: Tensor, residual: Tensor, grad_queries: Tensor | None, grad_documents: Tensor | None
) -> None:
    """Add to the gradients; that of the queries without their weights."""
    starts, scale = document_starts(problem), problem.row_scale()
    chunks = parts(problem)
    for first, last in spans(starts, max(1, _SPAN_ELEMENTS // problem.queries.shape[1])):
        documents = torch.arange(first, last)
        span = slice(int(starts[first]), int(starts[last]))
        tokens = problem.documents[span].to(problem.dtype)
        for part in chunks:
            met = part.meeting(documents, problem.candidates)
            places, factors = _kept(problem, gradients, residual, documents, met)
            taken = places >= 0
            if met.real is not None:
                taken &= met.real
            if problem.top_k > 1:
                factors = factors / taken.sum(dim=0).clamp(min=1)
            token = (places + (starts[first:last, None] - span.start))[taken].int()
            low, high = int(met.rows.min()), int(met.rows.max()) + 1
            row = (met.rows - low).expand_as(taken)[taken].int()
            factor = factors.expand_as(taken)[taken]
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
    problem: Problem, gradients: Tensor, residual: Tensor, grad_queries: Tensor | None, grad_documents: Tensor | None
) -> None:
    """Add to the gradients; that of the queries without their weights."""
    scale, memory = problem.row_scale(), (Memory(problem.dtype), Memory(problem.dtype))
    chunks = parts(problem)
    for run in runs(problem, sort=True) if chunks else ():
        for part in chunks:
            met = part.meeting(run.documents, problem.candidates)
            kept, factors = _kept(problem, gradients, residual, run.documents, met)
            values = kept[0]
            if met.real is not None:
                values, factors = values.masked_fill(~met.real, 0.0), factors.masked_fill(~met.real, 0.0)
            shared = query_vectors(problem, met) if met.rows.shape[0] == 1 else None
            for tile in tiles(problem, run, values.shape[1], memory[0]):
                tokens = tile.tokens
                vectors = query_vectors(problem, met.of(tile)) if shared is None else shared
                shares = similarities(tokens, vectors, memory[1]).sub_(values[tile.span].unsqueeze(1))
                shares.div_(problem.temperature).exp_().mul_(factors[tile.span].unsqueeze(1))
                absent = repeated(run, tile)
                if absent is not None:
                    shares.masked_fill_(absent, 0.0)
                if grad_queries is not None and shared is not None:
                    grad_queries.index_add_(0, met.rows[0], shares.flatten(0, 1).T @ tokens.flatten(0, 1))
                elif grad_queries is not None:
                    grad_queries.index_add_(0, met.rows[tile.span].flatten(), (shares.mT @ tokens).flatten(0, 1))
                if grad_documents is None:
                    continue
                if scale is not None:
                    shares.mul_(scale[met.of(tile).rows].unsqueeze(1))
                found = (shares @ vectors).flatten(0, 1)
                if isinstance(tile.rows, slice):
                    grad_documents[tile.rows] += found
                else:
                    grad_documents.index_add_(0, tile.rows, found)
