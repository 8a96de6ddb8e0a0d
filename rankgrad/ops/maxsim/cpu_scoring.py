"""Sums of maxima; hard ones of queries that share their documents, where nothing is kept and no token repeated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rankgrad.ops.maxsim.cpu_blocks import (
    RUN_ELEMENTS,
    RUN_ROWS,
    Memory,
    Part,
    document_starts,
    document_vectors,
    query_vectors,
    real_tokens,
    scored_tokens,
    spans,
)
from rankgrad.ops.maxsim.problem import Problem


def add_scores(
    problem: Problem, scores: Tensor, values: Tensor, met: Part, documents: Tensor | slice, lengths: Tensor | None
) -> None:
    """Add the values ``[documents, rows]`` of query rows to the scores ``[query_count, candidates]``.

    ``lengths``: how many real tokens each document has; None = some.
    """
    if problem.query_weights is not None:
        values = values * problem.query_weights.to(values.dtype)[met.rows]
        if lengths is not None:
            values = values.masked_fill_((lengths == 0).unsqueeze(1), -torch.inf)
    if met.real is not None:
        values = values.masked_fill(~met.real, 0.0)
    if problem.own or problem.query_count == 1:
        scores.view(-1)[documents] += values.sum(dim=1)
    else:
        sums = values.new_zeros((problem.query_count, values.shape[0]))
        scores[:, documents] += sums.index_add_(0, problem.row_query()[met.rows[0]], values.T.contiguous())


def add_shared_hard_scores(problem: Problem, scores: Tensor, chunks: list[Part]) -> None:
    """Add to the scores ``[query_count, candidates]`` what parts of one group of query rows give."""
    starts, memory = document_starts(problem), (Memory(problem.dtype), Memory(problem.dtype))
    for first, last in spans(starts, RUN_ROWS, RUN_ELEMENTS // chunks[0].rows.shape[1]):
        real, bounds = real_tokens(problem, starts[first : last + 1])
        lengths = None if isinstance(bounds, range) else torch.tensor(bounds).diff()
        for part in chunks:
            values = _maxima(problem, bounds, lengths, real, query_vectors(problem, part)[0], memory)
            add_scores(problem, scores, values, part, slice(first, last), lengths)


def _maxima(
    problem: Problem,
    bounds: Sequence[int],
    lengths: Tensor | None,
    real: Tensor | None,
    vectors: Tensor,
    memory: tuple[Memory, Memory],
) -> Tensor:
    """Maxima ``[documents, rows]`` of the documents between bounds; without lengths all are as long."""
    count, width = len(bounds) - 1, vectors.shape[0]
    values = torch.full((count, width), -torch.inf, dtype=vectors.dtype)
    owner = None if lengths is None else torch.arange(count).repeat_interleave(lengths).unsqueeze(1)
    for first, last in spans(bounds, scored_tokens(*vectors.shape), count):
        rows = slice(bounds[first], bounds[last])
        tokens = document_vectors(problem, rows if real is None else real[rows], memory[0])
        products = torch.mm(tokens, vectors.T, out=memory[1].view(tokens.shape[0], width))
        if owner is None:
            torch.amax(products.unflatten(0, (last - first, -1)), 1, out=values[first:last])
        else:
            owners = owner[rows.start - bounds[0] : rows.stop - bounds[0]].expand_as(products)
            values.scatter_reduce_(0, owners, products, "amax")
    return values
