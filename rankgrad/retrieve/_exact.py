"""Exact search over embeddings, a block of queries and documents at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.retrieve._top import masked_ranking, top
from rankgrad.types import Ranking

# A block of scores: 2**22 floats are 16 MiB.
_QUERIES = 256
_BLOCK_ELEMENTS = 1 << 22
_FIELDS = (torch.int64, torch.float32, torch.bool)


def exact_top(queries: Tensor, documents: Tensor, k: int, *, allowed: Tensor | None = None) -> Ranking:
    """The ``k`` highest dot products of each query; equal ones in order of rows.

    Args:
        queries: ``[queries, dim]``.
        documents: ``[documents, dim]``.
        k: at most as many as there are documents.
        allowed: bool ``[queries, documents]``, the documents that may be found; None = all.

    Example:
        >>> exact_top(torch.tensor([[1.0]]), torch.tensor([[1.0], [3.0], [3.0], [2.0]]), 2).ids.tolist()
        [[1, 2]]
    """
    parts = []
    for start in range(0, len(queries), _QUERIES):
        inside = slice(start, start + _QUERIES)
        parts.append(_block_top(queries[inside], documents, k, None if allowed is None else allowed[inside]))
    return Ranking(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _block_top(queries: Tensor, documents: Tensor, k: int, allowed: Tensor | None) -> Ranking:
    step = max(k, _BLOCK_ELEMENTS // len(queries))
    best = Ranking(*(torch.empty(len(queries), 0, dtype=dtype, device=queries.device) for dtype in _FIELDS))
    for start in range(0, len(documents), step):
        chunk = documents[start : start + step]
        scores = (queries @ chunk.T).float()
        if allowed is not None:
            scores = scores.masked_fill(~allowed[:, start : start + step].to(scores.device), -torch.inf)
        found = top(scores, min(k, len(chunk)), floor=-torch.inf)
        best = _merged(best, found._replace(ids=found.ids + start), k)
    return masked_ranking(*best)


def _merged(earlier: Ranking, later: Ranking, k: int) -> Ranking:
    """The best of both. The rows of ``earlier`` are the lower ones, and a stable sort keeps them first."""
    ids, scores, mask = (torch.cat(pair, dim=1) for pair in zip(earlier, later, strict=True))
    order = scores.argsort(dim=-1, descending=True, stable=True)[:, :k]
    return Ranking(ids.gather(1, order), scores.gather(1, order), mask.gather(1, order))
