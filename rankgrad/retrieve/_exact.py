"""Exact search over a collection, a block of queries and documents at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rankgrad.ops._arguments import full_precision
from rankgrad.retrieve._top import masked_ranking, top
from rankgrad.types import Ranking

# A block of scores: 2**22 floats are 16 MiB.
_QUERIES = 256
_BLOCK_ELEMENTS = 1 << 22
_FIELDS = (torch.int64, torch.float32, torch.bool)


def exact_top(queries: Tensor, documents: Tensor, k: int, *, allowed: Tensor | None = None) -> Ranking:
    """The ``k`` highest dot products of each query; equal ones in order of rows.

    Products are taken in float32 (float64 of float64), whatever the vectors are kept in.

    Args:
        queries: ``[queries, dim]``.
        documents: ``[documents, dim]``, on the same device.
        k: at most as many as there are documents.
        allowed: bool ``[queries, documents]``, the documents that may be found; None = all.

    Example:
        >>> exact_top(torch.tensor([[1.0]]), torch.tensor([[1.0], [3.0], [3.0], [2.0]]), 2).ids.tolist()
        [[1, 2]]
    """
    score = partial(_products, queries, documents)
    return best_of_blocks(score, len(queries), len(documents), k, device=queries.device, allowed=allowed)


def best_of_blocks(
    score: Callable[[slice, slice], Tensor],
    queries: int,
    documents: int,
    k: int,
    *,
    device: torch.device,
    allowed: Tensor | None = None,
) -> Ranking:
    """The ``k`` highest of ``score(some queries, some documents)``, float32 ``[queries, documents]``, over all.

    Args:
        score: gives the scores of a block.
        queries, documents: how many there are.
        k: at most as many as there are documents.
        device: of the scores.
        allowed: bool ``[queries, documents]``, the documents that may be found; None = all.
    """
    parts = []
    for start in range(0, queries, _QUERIES):
        inside = slice(start, min(start + _QUERIES, queries))
        row = partial(score, inside)
        masks = None if allowed is None else allowed[inside]
        parts.append(_row_top(row, inside.stop - inside.start, documents, k, device, masks))
    return Ranking(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _products(queries: Tensor, documents: Tensor, some: slice, others: slice) -> Tensor:
    # Half precision would round every score, and with it the order of documents that lie close.
    dtype = torch.promote_types(torch.promote_types(queries.dtype, documents.dtype), torch.float32)
    asked, inside = queries[some].to(dtype), documents[others]
    step = len(inside) if inside.dtype == dtype else max(1, _BLOCK_ELEMENTS // inside.shape[1])
    with full_precision(documents.device):
        parts = [asked @ part.to(dtype).T for part in inside.split(step)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).float()


def _row_top(
    score: Callable[[slice], Tensor], queries: int, documents: int, k: int, device: torch.device, allowed: Tensor | None
) -> Ranking:
    step = max(k, _BLOCK_ELEMENTS // queries)
    best = Ranking(*(torch.empty(queries, 0, dtype=dtype, device=device) for dtype in _FIELDS))
    for start in range(0, documents, step):
        inside = slice(start, min(start + step, documents))
        scores = score(inside)
        if allowed is not None:
            scores = scores.masked_fill(~allowed[:, inside].to(scores.device), -torch.inf)
        found = top(scores, min(k, scores.shape[1]), floor=-torch.inf)
        best = _merged(best, found._replace(ids=found.ids + start), k)
    return masked_ranking(*best)


def _merged(earlier: Ranking, later: Ranking, k: int) -> Ranking:
    """The best of both. The rows of ``earlier`` are the lower ones, and a stable sort keeps them first."""
    ids, scores, mask = (torch.cat(pair, dim=1) for pair in zip(earlier, later, strict=True))
    order = scores.argsort(dim=-1, descending=True, stable=True)[:, :k]
    return Ranking(ids.gather(1, order), scores.gather(1, order), mask.gather(1, order))
