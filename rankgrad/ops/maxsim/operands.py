"""Checks of what ``maxsim`` is given, and its flattening into rows."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulation_dtype, check_mask
from rankgrad.ops.maxsim.problem import Problem

Layout: TypeAlias = Literal["all_pairs", "candidates", "pairs"]
_DOCUMENT_AXES = {
    "all_pairs": "[documents, tokens, {0}]",
    "candidates": "[queries, documents, tokens, {0}]",
    "pairs": "[queries, tokens, {0}]",
}


def check_operands(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    query_cu_seqlens: Tensor | None,
    document_cu_seqlens: Tensor | None,
    max_query_tokens: int | None,
    layout: str,
) -> None:
    """Refuse what does not fit, naming it.

    Raises:
        InputError: for a shape, a device or an unknown layout.
        TypeError: for a dtype.
    """
    if layout not in _DOCUMENT_AXES:
        raise InputError(f'layout: expected "all_pairs", "candidates" or "pairs", got {layout!r}')
    accumulation_dtype(queries=queries, documents=documents)
    if max_query_tokens is not None and max_query_tokens < 1:
        raise InputError(f"max_query_tokens: expected at least 1, got {max_query_tokens}; None knows no bound")
    _check_queries(queries, query_mask, query_weights, query_cu_seqlens)
    dim = queries.shape[-1]
    if document_cu_seqlens is not None:
        _check_offsets(document_cu_seqlens, documents, "document_cu_seqlens", "documents")
        if documents.dim() != 2 or documents.shape[-1] != dim:
            raise InputError(
                f"documents: packed by document_cu_seqlens, expected [total_tokens, {dim}] "
                f"(queries are {list(queries.shape)}), got {list(documents.shape)}"
            )
    else:
        axes = _DOCUMENT_AXES[layout]
        if documents.dim() != axes.count(",") + 1 or documents.shape[-1] != dim:
            raise InputError(
                f'documents: layout "{layout}" expects {axes.format(dim)} (queries are {list(queries.shape)}), '
                f"got {list(documents.shape)}; packed documents need document_cu_seqlens"
            )
    count = queries.shape[0] if query_cu_seqlens is None else query_cu_seqlens.shape[0] - 1
    first = documents.shape[0] if document_cu_seqlens is None else document_cu_seqlens.shape[0] - 1
    packed_candidates = layout == "candidates" and document_cu_seqlens is not None
    if layout != "all_pairs" and (first % max(count, 1) != 0 if packed_candidates else first != count):
        wanted = (
            f"a multiple of {count}, as many for each query" if packed_candidates else f"{count}, one for each query"
        )
        raise InputError(
            f'documents: layout "{layout}" expects {wanted}, got {first}; '
            'layout="all_pairs" scores every query with every document'
        )
    if document_mask is not None:
        check_mask(document_mask, documents.shape[:-1], "document_mask")
    named = {
        "documents": documents,
        "query_mask": query_mask,
        "document_mask": document_mask,
        "query_weights": query_weights,
        "query_cu_seqlens": query_cu_seqlens,
        "document_cu_seqlens": document_cu_seqlens,
    }
    for name, operand in named.items():
        if operand is not None and operand.device != queries.device:
            raise InputError(
                f"{name}: on {operand.device} while queries are on {queries.device}; move it with "
                f'.to("{queries.device}")'
            )


def problem_of(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    query_cu_seqlens: Tensor | None,
    document_cu_seqlens: Tensor | None,
    *,
    layout: Layout,
    max_query_tokens: int | None,
    temperature: float,
    top_k: int,
    tf32: bool,
) -> Problem:
    """Checked operands as rows."""
    if query_cu_seqlens is None:
        query_count, query_tokens = queries.shape[:2]
    else:
        query_count = query_cu_seqlens.shape[0] - 1
        query_tokens = queries.shape[0] if max_query_tokens is None else min(max_query_tokens, queries.shape[0])
    own = layout != "all_pairs"
    if layout == "pairs":
        candidates = 1
    elif document_cu_seqlens is None:
        candidates = documents.shape[-3]
    else:
        documents_in_all = document_cu_seqlens.shape[0] - 1
        candidates = documents_in_all // max(query_count, 1) if own else documents_in_all
    return Problem(
        queries.flatten(0, -2),
        documents.flatten(0, -2),
        _flat(query_mask),
        _flat(document_mask),
        _flat(query_weights),
        _offsets(query_cu_seqlens),
        _offsets(document_cu_seqlens),
        query_count,
        query_tokens,
        candidates,
        0 if document_cu_seqlens is not None else documents.shape[-2],
        own,
        temperature,
        top_k,
        tf32,
    )


def _check_queries(queries: Tensor, mask: Tensor | None, weights: Tensor | None, offsets: Tensor | None) -> None:
    if offsets is not None:
        _check_offsets(offsets, queries, "query_cu_seqlens", "queries")
        if queries.dim() != 2:
            raise InputError(
                f"queries: packed by query_cu_seqlens, expected [total_tokens, dim], got {list(queries.shape)}"
            )
    elif queries.dim() != 3:
        raise InputError(
            f"queries: expected [queries, tokens, dim], got {list(queries.shape)}; add an axis with [None], "
            "or pass query_cu_seqlens"
        )
    if mask is not None:
        check_mask(mask, queries.shape[:-1], "query_mask")
    if weights is not None:
        accumulation_dtype(query_weights=weights)
        if weights.shape != queries.shape[:-1]:
            raise InputError(f"query_weights: expected {list(queries.shape[:-1])}, got {list(weights.shape)}")


def _check_offsets(offsets: Tensor, packed: Tensor, name: str, what: str) -> None:
    if offsets.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"{name}: expected int32, got {offsets.dtype}; convert it with .int()")
    if offsets.dim() != 1 or offsets.shape[0] == 0:
        raise InputError(f"{name}: expected [{what} + 1], got {list(offsets.shape)}")
    if offsets.shape[0] == 1 and packed.shape[0]:
        raise InputError(f"{name}: expected [{what} + 1], got [1], no {what}, for {packed.shape[0]} rows of {what}")


def _flat(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.reshape(-1)


def _offsets(offsets: Tensor | None) -> Tensor | None:
    """Offsets as kernels read them, one after another."""
    return None if offsets is None else offsets.contiguous()
