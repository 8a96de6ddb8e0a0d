"""Late-interaction scores of documents that are kept in 1 to 8 bits a value."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import full_precision
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.maxsim import quantised_library
from rankgrad.ops.maxsim.api import maxsim
from rankgrad.ops.maxsim.operands import Layout, check_operands, problem_of
from rankgrad.ops.maxsim.quantised_problem import quantised_problem_of
from rankgrad.ops.maxsim.quantised_reference import decode
from rankgrad.ops.maxsim.quantised_tokens import QuantisedTokens, ResidualTokens, check_centroid_ids, check_tokens


def maxsim_quantised(
    queries: Tensor,
    documents: QuantisedTokens,
    query_mask: Tensor | None = None,
    document_mask: Tensor | None = None,
    *,
    layout: Layout = "all_pairs",
    document_cu_seqlens: Tensor | None = None,
    query_weights: Tensor | None = None,
    reduction: Literal["sum", "mean"] = "sum",
    backend: Backend = "auto",
) -> Tensor:
    """MaxSim with documents that are never unpacked in memory: :func:`maxsim` of what their codes stand for.

    ``score(q, d) = sum_{i real} w_i max_{j real} <q_i, value(d_j)>`` with the values that :class:`Int8Tokens`,
    :class:`SignTokens` and :class:`ResidualTokens` define. Queries stay as they are. Masks, layouts, weights and empty
    sides are those of ``maxsim``. For inference: there is no gradient.

    On CUDA, Triton kernels unpack in registers. A CPU with VNNI instructions multiplies int8 and signs as whole
    numbers, each query token as multiples of its largest magnitude / 32639; a similarity is then off by at most
    ``max|q_i| sum|d_j| / 65278`` (twice that for int8 wider than 512) and float32 rounding, a 256th of what int8 itself
    may be off. Otherwise, as for residuals, queries with an infinite or NaN value, and float64, a CPU unpacks a few
    documents at a time. Other devices and export take the definition in plain torch, which unpacks all.

    Args:
        queries: token embeddings of the queries.
        documents: the documents' tokens, as a codec of ``rankgrad.retrieve`` makes them.
        query_mask: True = a real query token; None = all.
        document_mask: True = a real document token, in any pattern; None = all.
        layout: ``"all_pairs"``, ``"candidates"`` or ``"pairs"``, as in ``maxsim``.
        document_cu_seqlens: document i owns tokens ``document_cu_seqlens[i]:document_cu_seqlens[i + 1]``. These and
            centroid numbers are checked on a CPU; on another device a document where they lead out of a buffer scores
            NaN.
        query_weights: a factor for each query token.
        reduction: ``"sum"`` or ``"mean"`` over a query's real tokens.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        - queries ``[Q, Lq, D]``, D a multiple of 8 up to 1024; query_mask and query_weights ``[Q, Lq]``
        - all_pairs: documents stand for ``[N, Ld, D]`` -> ``[Q, N]``
        - candidates: documents stand for ``[Q, N, Ld, D]`` -> ``[Q, N]``
        - pairs: documents stand for ``[Q, Ld, D]`` -> ``[Q]``
        - in each, documents may be packed and stand for ``[total, D]``; document_mask is like documents without ``D``
        - document_cu_seqlens int32 ``[number of documents + 1]``

    Returns:
        Scores in float32 (float64 where the queries are float64).

    Raises:
        InputError: for shapes that do not fit, an unknown option, a backend that cannot run, or an operand that asks
            for a gradient.
        TypeError: for operands of another dtype, or documents that are not quantised.

    Reference:
        Santhanam, Khattab, Saad-Falcon, Potts, Zaharia: ColBERTv2: effective and efficient retrieval via lightweight
        late interaction, NAACL 2022 (residuals).

    Example:
        >>> from rankgrad.ops import Int8Tokens
        >>> queries = torch.tensor([[[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0]]])
        >>> codes = torch.tensor([[[100, 0, 0, 0, 0, 0, 0, 33], [-9, 0, 0, 0, 0, 0, 0, 127]]], dtype=torch.int8)
        >>> maxsim_quantised(queries, Int8Tokens(codes, torch.tensor([[0.01, 0.001]])))
        tensor([[1.6600]])
    """
    stand_in = queries.new_empty(1).expand(check_tokens(documents))
    check_operands(queries, stand_in, query_mask, document_mask, query_weights, None, document_cu_seqlens, None, layout)
    _check_inference(queries, documents, query_weights)
    if reduction not in ("sum", "mean"):
        raise InputError(f'reduction: expected "sum" or "mean", got {reduction!r}')
    path = resolve_backend(
        backend,
        queries.device,
        op="maxsim_quantised",
        dtype=queries.dtype,
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )
    if path == "reference":
        return maxsim(
            queries,
            decode(_sound(documents, document_mask)),
            query_mask,
            document_mask,
            layout=layout,
            document_cu_seqlens=document_cu_seqlens,
            query_weights=query_weights,
            reduction=reduction,
            backend="reference",
        )
    problem = problem_of(
        queries,
        stand_in,
        query_mask,
        document_mask,
        query_weights,
        None,
        document_cu_seqlens,
        layout=layout,
        max_query_tokens=None,
        temperature=0.0,
        top_k=1,
        tf32=False,
    )
    with full_precision(queries.device):
        scores = quantised_library.run(quantised_problem_of(problem, documents), triton=path == "triton")
    if reduction == "mean":
        counts = max(queries.shape[1], 1) if query_mask is None else query_mask.sum(dim=1, keepdim=True).clamp(min=1)
        scores = scores / counts
    return scores.squeeze(1) if layout == "pairs" else scores


def _check_inference(queries: Tensor, documents: QuantisedTokens, weights: Tensor | None) -> None:
    """Refuse operands that are elsewhere or ask for a gradient."""
    named = {"queries": queries, "query_weights": weights}
    named |= {f"documents.{name}": value for name, value in documents._asdict().items() if isinstance(value, Tensor)}
    for name, operand in named.items():
        if operand is None:
            continue
        if operand.device != queries.device:
            raise InputError(
                f"{name}: on {operand.device} while queries are on {queries.device}; move it with "
                f'.to("{queries.device}")'
            )
        if operand.requires_grad and torch.is_grad_enabled():
            raise InputError(
                f"{name}: asks for a gradient, which maxsim_quantised does not give; call it under torch.no_grad(), "
                "or maxsim on decoded documents"
            )


def _sound(documents: QuantisedTokens, mask: Tensor | None) -> QuantisedTokens:
    """Documents whose masked tokens have a centroid, so that all can be decoded."""
    if not isinstance(documents, ResidualTokens):
        return documents
    if not torch.compiler.is_compiling():
        check_centroid_ids(documents.centroid_ids, mask, documents.centroids.shape[0])
    if mask is None:
        return documents
    return documents._replace(centroid_ids=documents.centroid_ids.masked_fill(~mask, 0))
