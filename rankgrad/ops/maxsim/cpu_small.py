"""MaxSim on a CPU as one product of what is there, where checks and tiles would take longer than they save."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops.maxsim import cpu_blocks
from rankgrad.ops.maxsim.problem import Problem


def is_small(queries: Tensor, documents: Tensor) -> bool:
    """Whether padded operands fit the cache with their similarities, and nothing stands against :func:`small_scores`.

    Asks in the order of cost, of what passes every check only: the product is as short as a few dozen such questions.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return False
    query_shape, document_shape = queries.shape, documents.shape
    if len(query_shape) != 3 or len(document_shape) != 3 or query_shape[2] != document_shape[2]:
        return False
    rows, tokens = query_shape[0] * query_shape[1], document_shape[0] * document_shape[1]
    return (
        0 < rows * tokens <= cpu_blocks.TILE_ELEMENTS
        and 0 < tokens * document_shape[2] <= cpu_blocks.CACHED_ELEMENTS
        and queries.dtype == documents.dtype
        and (queries.dtype == torch.float32 or queries.dtype == torch.float64)
        and queries.is_cpu
        and documents.is_cpu
        and not torch.is_autocast_enabled("cpu")
        and not (torch.is_grad_enabled() and (queries.requires_grad or documents.requires_grad))
    )


def small_scores(queries: Tensor, documents: Tensor) -> Tensor:
    """Sums of hard maxima ``[queries, documents]`` of ``[queries, tokens, dim]`` and ``[documents, tokens, dim]``."""
    vectors, (count, width, dim) = queries.flatten(0, 1).T, documents.shape
    # Half as many again as fit a tile: nothing is copied, and the similarities are read once.
    some = max(1, cpu_blocks.TILE_ELEMENTS * 3 // 2 // (width * (dim + vectors.shape[1])))
    if some >= count:
        maxima = torch.matmul(documents, vectors).amax(dim=1)
    else:
        maxima = documents.new_empty(count, vectors.shape[1])
        products = documents.new_empty(some * width, vectors.shape[1])
        for first in range(0, count, some):
            tokens = documents[first : first + some].flatten(0, 1)
            found = torch.mm(tokens, vectors, out=products[: len(tokens)])
            torch.amax(found.unflatten(0, (-1, width)), 1, out=maxima[first : first + some])
    return maxima.view(count, queries.shape[0], -1).sum(dim=2).T.contiguous()


def scores_if_small(problem: Problem) -> Tensor | None:
    """Scores ``[query_count, candidates]`` of a problem that is one small product; None of any other."""
    ragged = (problem.query_mask, problem.document_mask, problem.query_offsets, problem.document_offsets)
    weighted = problem.query_weights is not None or problem.temperature > 0 or problem.top_k > 1
    if problem.own or weighted or any(each is not None for each in ragged):
        return None
    dim = problem.queries.shape[1]
    queries = problem.queries.view(problem.query_count, problem.query_tokens, dim)
    documents = problem.documents.view(problem.candidates, problem.document_tokens, dim)
    return small_scores(queries, documents) if is_small(queries, documents) else None
