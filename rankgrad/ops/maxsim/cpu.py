"""MaxSim's token maxima on a CPU: similarities of a few documents at a time, dropped once reduced.

The backward pass gathers rows by the kept argmax and multiplies no matrices; ``docs/ops/maxsim.md`` derives it. Sums go
through ``embedding_bag``, in which every destination row is summed by one thread in a fixed order: repeatable, no
atomics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from rankgrad.ops.maxsim.reference import NO_TOKEN

_TILE_ELEMENTS = 1 << 17
_PADDING_ALLOWED = 1.1


def token_maxima(queries: Tensor, documents: Tensor, document_mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """What ``reference.token_maxima`` gives, computed in ``dtype``, with an argmax kept only for a gradient."""
    if torch.is_grad_enabled() and (queries.requires_grad or documents.requires_grad):
        return _TokenMaxima.apply(queries.to(dtype), documents.to(dtype), document_mask)
    return _forward(queries.to(dtype), documents, document_mask, None)


def packed_token_maxima(queries: Tensor, documents: Tensor, cu_seqlens: Tensor) -> Tensor:
    """What ``reference.packed_token_maxima`` gives, without a gradient."""
    rows = queries.reshape(-1, queries.shape[-1])
    starts = cu_seqlens.tolist()
    maxima = queries.new_full((len(starts) - 1, rows.shape[0]), NO_TOKEN)
    budget = max(1, _TILE_ELEMENTS // max(rows.shape[0], 1))
    for first, last in _runs(starts, budget):
        similarities = rows @ documents[starts[first] : starts[last]].to(queries.dtype).T
        for document in range(first, last):
            start, stop = starts[document] - starts[first], starts[document + 1] - starts[first]
            if stop > start:
                torch.amax(similarities[:, start:stop], dim=1, out=maxima[document])
    return maxima.T.unflatten(0, queries.shape[:2])


def _runs(starts: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """Consecutive documents cut into runs of at most ``budget`` tokens (a longer document is a run of its own)."""
    cuts = [0]
    for document, (_, stop) in enumerate(pairwise(starts)):
        if stop - starts[cuts[-1]] > budget and document > cuts[-1]:
            cuts.append(document)
    return list(pairwise([*cuts, len(starts) - 1])) if len(starts) > 1 else []


def _blocks(lengths: Sequence[int], rows: int) -> list[tuple[int, int, int]]:
    """(first, last, longest) of runs of documents that fit a tile and waste little of it on padding."""
    blocks: list[tuple[int, int, int]] = []
    first = longest = total = 0
    for document, length in enumerate(lengths):
        width, count = max(longest, length), document - first + 1
        too_wide = rows * width * count > _TILE_ELEMENTS
        if count > 1 and (too_wide or width * count > _PADDING_ALLOWED * (total + length)):
            blocks.append((first, document, longest))
            first, width, total = document, length, 0
        longest, total = width, total + length
    return [*blocks, (first, len(lengths), longest)] if lengths else []


def _lengths(mask: Tensor) -> list[int]:
    """Tokens up to and with the last real one, of every document."""
    positions = torch.arange(1, mask.shape[-1] + 1, device=mask.device)
    return (mask * positions).amax(dim=-1).tolist() if mask.shape[-1] else [0] * mask.shape[0]


def _forward(queries: Tensor, documents: Tensor, document_mask: Tensor | None, argmax: Tensor | None) -> Tensor:
    """Token maxima ``[Q, Lq, N]``; fills ``argmax`` of that shape (int32) where one is given."""
    query_count, query_tokens, dim = queries.shape
    maxima = queries.new_full((query_count, query_tokens, documents.shape[-3]), NO_TOKEN)
    if documents.dim() == 3:
        index_out = None if argmax is None else argmax.flatten(0, 1)
        _group_forward(queries.reshape(-1, dim), documents, document_mask, maxima.flatten(0, 1), index_out)
        return maxima
    for query in range(query_count):
        mask = None if document_mask is None else document_mask[query]
        index_out = None if argmax is None else argmax[query]
        _group_forward(queries[query], documents[query], mask, maxima[query], index_out)
    return maxima


def _group_forward(rows: Tensor, documents: Tensor, mask: Tensor | None, out: Tensor, index_out: Tensor | None) -> None:
    """Query tokens ``[R, D]`` against documents ``[N, Ld, D]`` into ``out`` and ``index_out`` ``[R, N]``."""
    count, padded = documents.shape[:2]
    lengths = [padded] * count if mask is None else _lengths(mask)
    for first, last, longest in _blocks(lengths, rows.shape[0]):
        if longest == 0:
            continue
        tokens = documents[first:last, :longest].to(rows.dtype).reshape(-1, rows.shape[-1])
        excluded = None if mask is None else ~mask[first:last, :longest]
        if excluded is not None and not excluded.any():
            excluded = None
        step = max(1, _TILE_ELEMENTS // tokens.shape[0])
        for start in range(0, rows.shape[0], step):
            stop = start + step
            similarities = (rows[start:stop] @ tokens.T).unflatten(1, (last - first, longest))
            if excluded is not None:
                similarities.masked_fill_(excluded, NO_TOKEN)
            if index_out is None:
                out[start:stop, first:last] = similarities.amax(dim=-1)
            else:
                out[start:stop, first:last], index_out[start:stop, first:last] = similarities.max(dim=-1)


class _TokenMaxima(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, documents: Tensor, document_mask: Tensor | None) -> Tensor:
        shape = (*queries.shape[:2], documents.shape[-3])
        argmax = torch.zeros(shape, dtype=torch.int32, device=queries.device)
        maxima = _forward(queries, documents, document_mask, argmax)
        ctx.save_for_backward(queries, documents, argmax)
        return maxima

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_maxima: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        queries, documents, argmax = ctx.saved_tensors
        query_count, query_tokens, count = argmax.shape
        needs_queries, needs_documents, _ = ctx.needs_input_grad
        first_rows = torch.arange(documents.shape[:-2].numel(), device=argmax.device) * documents.shape[-2]
        document_rows = (argmax + first_rows.view(-1 if count else 1, 1, count)).flatten()
        query_rows = torch.arange(query_count * query_tokens, device=argmax.device).repeat_interleave(count)
        weights = grad_maxima.flatten()
        # A maximum that nothing depends on may point at padding, whose contents must not be read: 0 * NaN is NaN.
        used = weights != 0
        if not used.all():
            document_rows, query_rows, weights = document_rows[used], query_rows[used], weights[used]
        grad_queries = grad_documents = None
        if needs_queries:
            grad_queries = _weighted_sums(document_rows, documents, query_rows, queries, weights)
        if needs_documents:
            order = document_rows.argsort(stable=True)
            grad_documents = _weighted_sums(query_rows[order], queries, document_rows[order], documents, weights[order])
        return grad_queries, grad_documents, None


def _weighted_sums(sources: Tensor, table: Tensor, destinations: Tensor, like: Tensor, weights: Tensor) -> Tensor:
    """``out[destination] += weight * table[source]``, destinations ascending; shaped ``like``."""
    dim = like.shape[-1]
    ends = torch.arange(like.shape[:-1].numel() + 1, device=like.device)
    offsets = torch.searchsorted(destinations, ends)
    flat = table.reshape(-1, dim)
    if flat.shape[0] == 0 or sources.numel() == 0:
        return torch.zeros_like(like, memory_format=torch.contiguous_format)
    sums = embedding_bag(sources, flat, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)
    return sums.view(like.shape)
