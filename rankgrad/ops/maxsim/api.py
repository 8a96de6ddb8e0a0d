"""Late-interaction scores."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulation_dtype, check_mask, full_precision
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.maxsim import cpu, reference

Layout: TypeAlias = Literal["all_pairs", "candidates", "pairs"]
_DOCUMENT_AXES = {"all_pairs": 3, "candidates": 4, "pairs": 3}


def maxsim(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None = None,
    document_mask: Tensor | None = None,
    *,
    layout: Layout = "all_pairs",
    query_weights: Tensor | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    backend: Backend = "auto",
) -> Tensor:
    """Sum over query tokens of the highest similarity to any document token.

    ``score(q, d) = sum_{i real} w_i max_{j real} <q_i, d_j>``; ``reduction="mean"`` divides by the number of real query
    tokens. Masked tokens are left out before the maximum, so none beats a negative similarity, and their contents are
    never read. A document without a real token scores ``-inf`` with zero gradient; a query without one scores 0
    everywhere.

    On a CPU the similarity tensor is never held whole: a few documents at a time, an int32 argmax kept for the
    gradient. Other devices, ``torch.compile`` and export take the reference. Among equal maxima the lowest index takes
    the gradient.

    Args:
        queries: token embeddings of the queries.
        documents: token embeddings of the documents.
        query_mask: True = a real query token; None = all.
        document_mask: True = a real document token, in any pattern; None = all.
        layout: ``"all_pairs"`` every query with every document; ``"candidates"`` each query with documents of its own;
            ``"pairs"`` query i with document i.
        query_weights: a factor for each query token.
        reduction: ``"sum"`` or ``"mean"`` over a query's real tokens.
        backend: ``"auto"`` or ``"reference"``; ``"triton"`` has no kernel in this version.

    Shape:
        - queries ``[Q, Lq, D]``, query_mask and query_weights ``[Q, Lq]``
        - all_pairs: documents ``[N, Ld, D]`` -> ``[Q, N]``
        - candidates: documents ``[Q, N, Ld, D]`` -> ``[Q, N]``
        - pairs: documents ``[Q, Ld, D]`` -> ``[Q]``
        - document_mask: like documents without ``D``

    Returns:
        Scores in float32 (float64 where an operand is float64); NaN where a real token's similarities hold NaN.
        Gradients come in the dtype of their operand; the CPU path is once differentiable.

    Raises:
        InputError: for shapes that do not fit, an unknown option, or a backend that cannot run.
        TypeError: for embeddings or weights that are not floating point, or a mask that is not bool.

    Reference:
        Khattab, Zaharia: ColBERT: efficient and effective passage search via contextualized late interaction over BERT,
        SIGIR 2020.

    Example:
        >>> queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> documents = torch.tensor([[[0.6, 0.8], [1.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]])
        >>> maxsim(queries, documents, document_mask=torch.tensor([[True, True], [True, False]]))
        tensor([[ 1.8000, -1.0000]])
    """
    if layout not in _DOCUMENT_AXES:
        raise InputError(f'layout: expected "all_pairs", "candidates" or "pairs", got {layout!r}')
    _check_queries(queries, query_mask, query_weights)
    if documents.dim() != _DOCUMENT_AXES[layout] or documents.shape[-1] != queries.shape[-1]:
        leading = {"all_pairs": "documents", "candidates": "queries, documents", "pairs": "queries"}[layout]
        raise InputError(
            f'documents: layout "{layout}" expects [{leading}, tokens, {queries.shape[-1]}] '
            f"(queries are {list(queries.shape)}), got {list(documents.shape)}"
        )
    if layout != "all_pairs" and documents.shape[0] != queries.shape[0]:
        raise InputError(
            f'documents: layout "{layout}" expects {queries.shape[0]} on the first axis, one for each query, '
            f'got {documents.shape[0]}; layout="all_pairs" scores every query with every document'
        )
    if document_mask is not None:
        check_mask(document_mask, documents.shape[:-1], "document_mask")
    if layout == "pairs":
        documents = documents.unsqueeze(1)
        document_mask = None if document_mask is None else document_mask.unsqueeze(1)
    dtype = accumulation_dtype(queries=queries, documents=documents)
    path = resolve_backend(backend, queries.device, op="maxsim", tiled_devices=("cpu",))
    with full_precision(queries.device):
        if path == "tiled":
            maxima = cpu.token_maxima(queries, documents, document_mask, dtype)
        else:
            queries = _readable(queries, query_mask)
            maxima = reference.token_maxima(queries.to(dtype), documents.to(dtype), document_mask)
    if document_mask is not None:
        nothing_to_match = ~document_mask.any(dim=-1)
        nothing_to_match = nothing_to_match if documents.dim() == 4 else nothing_to_match.unsqueeze(0)
    else:
        nothing_to_match = maxima.new_full((1, 1), documents.shape[-2] == 0, dtype=torch.bool)
    scores = _scores(maxima, nothing_to_match, query_mask, query_weights, reduction)
    return scores.squeeze(1) if layout == "pairs" else scores


def maxsim_packed(
    queries: Tensor,
    query_mask: Tensor | None,
    documents: Tensor,
    cu_seqlens: Tensor,
    *,
    query_weights: Tensor | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    backend: Backend = "auto",
) -> Tensor:
    """:func:`maxsim` of every query with every document, the documents' tokens lying end to end without padding.

    The path of reranking. Where a gradient is asked for, the reference runs, and equal maxima share the gradient.

    Args:
        queries: token embeddings of the queries.
        query_mask: True = a real query token; None = all.
        documents: token embeddings of all documents, only real ones.
        cu_seqlens: document i owns rows ``cu_seqlens[i]:cu_seqlens[i + 1]``; starts at 0, ends at the number of rows.
        query_weights: a factor for each query token.
        reduction: ``"sum"`` or ``"mean"`` over a query's real tokens.
        backend: as for :func:`maxsim`.

    Shape:
        queries ``[Q, Lq, D]``, query_mask and query_weights ``[Q, Lq]``, documents ``[total, D]``, cu_seqlens int32
        ``[N + 1]`` -> ``[Q, N]``.

    Returns:
        Scores in float32 (float64 where an operand is float64).

    Raises:
        InputError: for shapes that do not fit or an unknown option.
        TypeError: for embeddings that are not floating point, or ``cu_seqlens`` that is not int32 or int64.

    Example:
        >>> documents = torch.tensor([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0]])
        >>> maxsim_packed(torch.eye(2)[None], None, documents, torch.tensor([0, 2, 3], dtype=torch.int32))
        tensor([[ 1.8000, -1.0000]])
    """
    _check_queries(queries, query_mask, query_weights)
    if documents.dim() != 2 or documents.shape[-1] != queries.shape[-1]:
        raise InputError(f"documents: expected [total_tokens, {queries.shape[-1]}], got {list(documents.shape)}")
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"cu_seqlens: expected int32, got {cu_seqlens.dtype}")
    if cu_seqlens.dim() != 1 or cu_seqlens.shape[0] == 0:
        raise InputError(f"cu_seqlens: expected [documents + 1], got {list(cu_seqlens.shape)}")
    dtype = accumulation_dtype(queries=queries, documents=documents)
    path = resolve_backend(backend, queries.device, op="maxsim_packed", tiled_devices=("cpu",))
    needs_grad = torch.is_grad_enabled() and (queries.requires_grad or documents.requires_grad)
    with full_precision(queries.device):
        if path == "tiled" and not needs_grad:
            maxima = cpu.packed_token_maxima(queries.to(dtype), documents, cu_seqlens)
        else:
            queries = _readable(queries, query_mask)
            maxima = reference.packed_token_maxima(queries.to(dtype), documents.to(dtype), cu_seqlens)
    return _scores(maxima, (cu_seqlens.diff() == 0).unsqueeze(0), query_mask, query_weights, reduction)


def _check_queries(queries: Tensor, mask: Tensor | None, weights: Tensor | None) -> None:
    if queries.dim() != 3:
        raise InputError(
            f"queries: expected [queries, tokens, dim], got {list(queries.shape)}; add an axis with [None]"
        )
    if mask is not None:
        check_mask(mask, queries.shape[:-1], "query_mask")
    if weights is not None and weights.shape != queries.shape[:-1]:
        raise InputError(f"query_weights: expected {list(queries.shape[:-1])}, got {list(weights.shape)}")


def _readable(queries: Tensor, mask: Tensor | None) -> Tensor:
    """Queries without the contents of masked tokens, which would reach the documents' gradient as 0 * NaN."""
    return queries if mask is None else queries.masked_fill(~mask.unsqueeze(-1), 0.0)


def _scores(
    maxima: Tensor, empty_documents: Tensor, mask: Tensor | None, weights: Tensor | None, reduction: str
) -> Tensor:
    """Token maxima ``[Q, Lq, N]`` to scores ``[Q, N]``, with the rules for empty queries and documents."""
    if reduction not in ("sum", "mean"):
        raise InputError(f'reduction: expected "sum" or "mean", got {reduction!r}')
    if mask is None:
        mask = torch.ones(maxima.shape[:2], dtype=torch.bool, device=maxima.device)
    # An empty document's maxima are -inf and a masked token's may be NaN: neither may meet a weight.
    maxima = maxima.masked_fill(empty_documents.unsqueeze(1) | ~mask.unsqueeze(-1), 0.0)
    if weights is not None:
        maxima = maxima * weights.to(maxima.dtype).masked_fill(~mask, 0.0).unsqueeze(-1)
    scores = maxima.sum(dim=1)
    tokens = mask.sum(dim=1, keepdim=True)
    if reduction == "mean":
        scores = scores / tokens.clamp(min=1)
    return scores.masked_fill(empty_documents & (tokens > 0), float("-inf"))
