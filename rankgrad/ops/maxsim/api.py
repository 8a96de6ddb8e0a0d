"""Late-interaction scores."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulation_dtype, check_positive, full_precision
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.maxsim import library, reference
from rankgrad.ops.maxsim.cpu_small import is_small, small_scores
from rankgrad.ops.maxsim.operands import Layout, check_operands, problem_of
from rankgrad.ops.maxsim.problem import check_offsets, owned, owners


def maxsim(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None = None,
    document_mask: Tensor | None = None,
    *,
    layout: Layout = "all_pairs",
    query_cu_seqlens: Tensor | None = None,
    document_cu_seqlens: Tensor | None = None,
    max_query_tokens: int | None = None,
    query_weights: Tensor | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    temperature: float | None = None,
    top_k: int | None = None,
    allow_tf32: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """Sum over query tokens of the highest similarity to any document token.

    ``score(q, d) = sum_{i real} w_i M_i`` where, over the real tokens ``j`` of the document and ``s_ij = <q_i, d_j>``,

    - ``M_i = max_j s_ij`` by default;
    - ``M_i = temperature * log sum_j exp(s_ij / temperature)`` with a ``temperature``, which tends to the maximum as it
      tends to 0 and lies above it by at most ``temperature * log(tokens)``;
    - ``M_i`` is the mean of the ``top_k`` highest ``s_ij`` (of all, where the document has fewer) with ``top_k``.

    ``reduction="mean"`` divides by the number of real query tokens. Masked tokens are left out before the maximum, so
    none beats a negative similarity, and their contents are never read. A document without a real token scores ``-inf``
    with zero gradient; a query without one scores 0 everywhere. Among equal maxima the lowest index takes the gradient.

    The similarities are never held whole, forward or backward. CUDA takes Triton kernels, a CPU tiles of the size of
    its cache, both under ``torch.compile`` too; other devices, float64 on CUDA, and export take the definition in plain
    torch. Gradients repeat bit for bit. ``docs/ops/maxsim.md`` derives them.

    Args:
        queries: token embeddings of the queries.
        documents: token embeddings of the documents.
        query_mask: True = a real query token; None = all.
        document_mask: True = a real document token, in any pattern; None = all.
        layout: ``"all_pairs"`` every query with every document; ``"candidates"`` each query with documents of its own;
            ``"pairs"`` query i with document i.
        query_cu_seqlens: query i owns rows ``query_cu_seqlens[i]:query_cu_seqlens[i + 1]`` of packed queries.
        document_cu_seqlens: the same for packed documents; with ``"candidates"`` those of the first query come first,
            as many for each query. Offsets go from 0 to the number of rows, which is checked on a CPU; elsewhere a
            check would wait for the device: rows that no query or document owns count for nothing and have zero
            gradient, and on CUDA a document whose offsets leave the buffer scores NaN.
        max_query_tokens: an upper bound of the tokens of a packed query, at least 1; None takes the number of rows. A
            tight bound saves work on CUDA. Checked where offsets are; elsewhere tokens beyond it may be left out.
        query_weights: a factor for each query token, such as an inverse document frequency.
        reduction: ``"sum"`` or ``"mean"`` over a query's real tokens.
        temperature: softness of the maximum, in units of a similarity; None = the hard maximum.
        top_k: similarities that are averaged; None = 1, the maximum.
        allow_tf32: multiply float32 operands with 10 bits of mantissa on tensor cores (CUDA).
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        - queries ``[Q, Lq, D]``, or packed ``[total, D]``; query_mask and query_weights like queries without ``D``
        - all_pairs: documents ``[N, Ld, D]`` -> ``[Q, N]``
        - candidates: documents ``[Q, N, Ld, D]`` -> ``[Q, N]``
        - pairs: documents ``[Q, Ld, D]`` -> ``[Q]``
        - in each, documents may be packed ``[total, D]``; document_mask is like documents without ``D``
        - query_cu_seqlens int32 ``[Q + 1]``, document_cu_seqlens int32 ``[number of documents + 1]``

    Returns:
        Scores in float32 (float64 where an operand is float64); NaN where a real token's similarities hold NaN.
        Gradients come in the dtype of their operand; they are not differentiable again.

    Raises:
        InputError: for shapes that do not fit, an unknown option, or a backend that cannot run.
        TypeError: for embeddings or weights that are not floating point, or a mask that is not bool.

    Reference:
        Khattab, Zaharia: ColBERT: efficient and effective passage search via contextualized late interaction over BERT,
        SIGIR 2020. The mean of several: after Lee et al., Rethinking the role of token retrieval in multi-vector
        retrieval (XTR), NeurIPS 2023.

    Example:
        >>> queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> documents = torch.tensor([[[0.6, 0.8], [1.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]])
        >>> maxsim(queries, documents, document_mask=torch.tensor([[True, True], [True, False]]))
        tensor([[ 1.8000, -1.0000]])
        >>> maxsim(queries, documents.flatten(0, 1)[:3], document_cu_seqlens=torch.tensor([0, 2, 3]))
        tensor([[ 1.8000, -1.0000]])
    """
    padded = query_cu_seqlens is None and document_cu_seqlens is None
    every_token = query_mask is None and document_mask is None and query_weights is None
    hard = temperature is None and top_k is None and reduction == "sum"
    if padded and every_token and hard and layout == "all_pairs" and backend == "auto" and is_small(queries, documents):
        # It passes every check below, and these would take as long as a tenth of its product.
        return small_scores(queries, documents)
    check_operands(
        queries,
        documents,
        query_mask,
        document_mask,
        query_weights,
        query_cu_seqlens,
        document_cu_seqlens,
        max_query_tokens,
        layout,
    )
    soft, k = _maximum(temperature, top_k)
    if reduction not in ("sum", "mean"):
        raise InputError(f'reduction: expected "sum" or "mean", got {reduction!r}')
    path = resolve_backend(
        backend,
        queries.device,
        op="maxsim",
        dtype=accumulation_dtype(queries=queries, documents=documents),
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )
    operands = (queries, documents, query_mask, document_mask, query_weights, query_cu_seqlens, document_cu_seqlens)
    with full_precision(queries.device):
        if path == "reference":
            sums = _by_definition(
                *operands, layout=layout, max_query_tokens=max_query_tokens, temperature=soft, top_k=k
            )
        else:
            problem = problem_of(
                *operands,
                layout=layout,
                max_query_tokens=max_query_tokens,
                temperature=soft,
                top_k=k,
                tf32=allow_tf32,
            )
            sums = library.run(problem, triton=path == "triton")
    if reduction == "mean":
        sums = sums / _token_counts(queries, query_mask, query_cu_seqlens).clamp(min=1).unsqueeze(-1)
    return sums.squeeze(1) if layout == "pairs" else sums


def _maximum(temperature: float | None, top_k: int | None) -> tuple[float, int]:
    """The temperature, 0 for a hard maximum, and how many similarities are averaged."""
    if temperature is not None:
        check_positive(temperature, "temperature")
    if top_k is not None and top_k < 1:
        raise InputError(f"top_k: expected at least 1, got {top_k}")
    if temperature is not None and top_k is not None and top_k > 1:
        raise InputError("temperature and top_k: one or the other; a soft maximum is no mean of several")
    return float(temperature or 0.0), top_k or 1


def _token_counts(queries: Tensor, mask: Tensor | None, offsets: Tensor | None) -> Tensor:
    """Real tokens of each query ``[Q]``."""
    if offsets is None:
        if mask is None:
            return torch.full(queries.shape[:1], queries.shape[1], device=queries.device)
        return mask.sum(dim=1)
    if mask is None:
        return offsets.diff()
    counts = torch.zeros(offsets.shape[0] - 1, dtype=torch.long, device=mask.device)
    real = mask & owned(offsets, mask.shape[0])
    return counts.index_add(0, owners(offsets, 0, mask.shape[0], mask.device), real.long())


def _by_definition(
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
) -> Tensor:
    """The reference on operands of every layout: sums ``[Q, N]``."""
    if not torch.compiler.is_compiling():
        check_offsets(query_cu_seqlens, queries.shape[0], "query_cu_seqlens", max_query_tokens)
        check_offsets(document_cu_seqlens, documents.shape[0], "document_cu_seqlens")
    dtype = accumulation_dtype(queries=queries, documents=documents)
    queries, documents = queries.to(dtype), documents.to(dtype)
    candidates = None
    if layout == "pairs" and document_cu_seqlens is None:
        documents = documents.unsqueeze(1)
        document_mask = None if document_mask is None else document_mask.unsqueeze(1)
    elif layout != "all_pairs" and document_cu_seqlens is not None:
        count = queries.shape[0] if query_cu_seqlens is None else query_cu_seqlens.shape[0] - 1
        candidates = 1 if layout == "pairs" else (document_cu_seqlens.shape[0] - 1) // max(count, 1)
    options = {"candidates": candidates, "temperature": temperature, "top_k": top_k}
    rest = (document_mask, query_weights, document_cu_seqlens)
    if query_cu_seqlens is None:
        return reference.scores(queries, documents, query_mask, *rest, **options)
    # A packed query is the sum of queries of one token.
    owner = owners(query_cu_seqlens, 0, queries.shape[0], queries.device).long()
    weights = None if query_weights is None else query_weights.unsqueeze(1)
    mine = owned(query_cu_seqlens, queries.shape[0])
    mask = (mine if query_mask is None else mine & query_mask).unsqueeze(1)
    parts = reference.scores(
        queries.unsqueeze(1), documents, mask, document_mask, weights, document_cu_seqlens,
        query_of_row=owner if layout != "all_pairs" else None, **options,
    )  # fmt: skip
    return parts.new_zeros((query_cu_seqlens.shape[0] - 1, parts.shape[1])).index_add(0, owner, parts)
