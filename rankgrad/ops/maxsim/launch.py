"""From a problem to kernel launches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import as_bytes, as_rows
from rankgrad.ops._launch import on_device_of
from rankgrad.ops.maxsim.half_range import within_half
from rankgrad.ops.maxsim.problem import Problem
from rankgrad.ops.maxsim.tiles import Tiles, check_width, documents_tiles, forward_tiles, queries_tiles

_FEWEST_PROGRAMS = 256
_GATHERED_ROWS, _GATHERED_DOCUMENTS = 4, 16


def forward(problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor]:
    """Scores ``[query_count, candidates]`` and, where ``keep``, the residual of the backward pass."""
    from rankgrad.ops.maxsim import kernels

    kernel: Any = kernels._maxsim_forward_kernel
    queries, documents = as_rows(problem.queries), as_rows(problem.documents)
    dim = queries.shape[1]
    tiles = forward_tiles(problem.query_count, problem.query_tokens, dim, _compute(problem), own=problem.own)
    chunks = max(1, -(-problem.query_tokens // tiles.slots))
    sums = queries.new_empty((chunks, problem.query_count, problem.candidates), dtype=torch.float32)
    residual = queries.new_empty(problem.residual_shape if keep else 0, dtype=problem.residual_dtype)
    if keep and problem.query_offsets is not None:
        # Rows that offsets leave to nobody belong to no program, and the backward pass meets them.
        residual.fill_(-float("inf") if problem.temperature else -1)
    programs = -(-problem.query_count // tiles.queries) * chunks * problem.candidates
    if programs:
        check_width(dim)
        weights = problem.query_weights
        on_device_of(queries, kernel, (programs,))(
            queries,
            documents,
            as_bytes(problem.query_mask),
            as_bytes(problem.document_mask),
            None if weights is None else weights.float().contiguous(),
            problem.query_offsets,
            problem.document_offsets,
            sums,
            residual,
            queries.stride(0),
            documents.stride(0),
            problem.query_count,
            problem.query_tokens,
            queries.shape[0],
            problem.candidates,
            problem.document_tokens,
            documents.shape[0],
            dim,
            chunks,
            problem.top_k,
            problem.temperature or 1.0,
            MASKED_QUERIES=problem.query_mask is not None,
            WEIGHTED=weights is not None,
            MODE="soft" if problem.temperature else "hard" if problem.top_k == 1 else "top_k",
            KEEP=keep,
            QUERIES=tiles.queries,
            SLOTS=tiles.slots,
            **_layout(problem),
            **_widths(problem, tiles),
        )
    return (sums[0] if chunks == 1 else sums.sum(dim=0)), residual


def backward(
    problem: Problem, gradients: Tensor, residual: Tensor, *, queries: bool, documents: bool, weights: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of the queries, the documents and the query weights, those asked for."""
    gradients = gradients.float().contiguous()
    rows = (problem.row_query(), problem.row_scale())
    scaled, back = gradients, None
    if _compute(problem) == torch.float16 and gradients.numel() and rows[0].shape[0]:
        scaled, back = within_half(gradients, *rows)
    grad_queries = grad_documents = grad_weights = None
    if documents:
        grad_documents = _documents(problem, scaled, back, residual, *rows)
    if problem.temperature:
        if queries:
            grad_queries = _soft_queries(problem, scaled, back, residual, *rows)
        if weights:
            # The soft maxima are at hand; a row without any has -inf, and no say.
            values = residual[0].masked_fill(residual[0].isneginf(), 0.0)
            grad_weights = torch.einsum("nr,rn->r", values, gradients[rows[0]])
    elif queries or weights:
        grad_queries, grad_weights = _hard_queries(problem, gradients, residual, *rows, weights=weights)
    return grad_queries, grad_documents, grad_weights


def _documents(
    problem: Problem,
    gradients: Tensor,
    back: Tensor | None,
    residual: Tensor,
    row_query: Tensor,
    row_scale: Tensor | None,
) -> Tensor:
    from rankgrad.ops.maxsim import backward_kernels

    kernel: Any = backward_kernels._maxsim_backward_documents_kernel
    queries, documents = as_rows(problem.queries), as_rows(problem.documents)
    dim = queries.shape[1]
    tiles = documents_tiles(dim, _compute(problem))
    # Tokens that unsound offsets leave out belong to no program.
    new = torch.empty_like if problem.document_offsets is None else torch.zeros_like
    result = new(documents, memory_format=torch.contiguous_format)
    tile_document, tile_first, each = _document_tiles(problem, tiles.tokens)
    count = problem.document_count * each if tile_document is None else tile_document.shape[0]
    if not count or not documents.shape[0]:
        return result
    on_device_of(queries, kernel, (count, -(-dim // tiles.dims)))(
        queries,
        documents,
        as_bytes(problem.document_mask),
        problem.query_offsets,
        problem.document_offsets,
        tile_document,
        tile_first,
        gradients,
        back,
        row_query,
        row_scale,
        residual,
        result,
        queries.stride(0),
        documents.stride(0),
        problem.query_tokens,
        queries.shape[0],
        problem.candidates,
        problem.document_tokens,
        documents.shape[0],
        each,
        dim,
        problem.top_k,
        problem.temperature or 1.0,
        SCALED=row_scale is not None,
        BACK=back is not None,
        SOFT=problem.temperature > 0,
        ROWS=tiles.rows,
        **_layout(problem),
        **_widths(problem, tiles),
    )
    return result


def _hard_queries(
    problem: Problem,
    gradients: Tensor,
    residual: Tensor,
    row_query: Tensor,
    row_scale: Tensor | None,
    *,
    weights: bool,
) -> tuple[Tensor, Tensor | None]:
    from rankgrad.ops.maxsim import backward_kernels

    kernel: Any = backward_kernels._maxsim_backward_queries_kernel
    queries, documents = as_rows(problem.queries), as_rows(problem.documents)
    rows, dim = queries.shape
    dims = queries_tiles(dim, _compute(problem)).dims
    parts = -(-dim // dims)
    result = torch.empty_like(queries, memory_format=torch.contiguous_format)
    by_part = queries.new_empty((parts, rows), dtype=torch.float32) if weights else None
    if rows:
        on_device_of(queries, kernel, (-(-rows // _GATHERED_ROWS), parts))(
            queries,
            documents,
            problem.document_offsets,
            gradients,
            row_query,
            row_scale,
            residual,
            result,
            by_part,
            queries.stride(0),
            documents.stride(0),
            rows,
            problem.candidates,
            problem.document_tokens,
            documents.shape[0],
            dim,
            problem.top_k,
            OWN=problem.own,
            PACKED_DOCUMENTS=problem.document_offsets is not None,
            SCALED=row_scale is not None,
            WEIGHTED=weights,
            ROWS=_GATHERED_ROWS,
            DOCUMENTS=_GATHERED_DOCUMENTS,
            DIMS=dims,
            num_warps=4,
        )
    return result, None if by_part is None else by_part.sum(dim=0)


def _soft_queries(
    problem: Problem,
    gradients: Tensor,
    back: Tensor | None,
    residual: Tensor,
    row_query: Tensor,
    row_scale: Tensor | None,
) -> Tensor:
    from rankgrad.ops.maxsim import backward_kernels

    kernel: Any = backward_kernels._maxsim_soft_backward_queries_kernel
    queries, documents = as_rows(problem.queries), as_rows(problem.documents)
    rows, dim = queries.shape
    tiles = queries_tiles(dim, _compute(problem))
    chunks = -(-problem.query_tokens // tiles.rows) if problem.own else 1
    row_tiles = problem.query_count * chunks if problem.own else -(-rows // tiles.rows)
    parts = -(-dim // tiles.dims)
    # Few rows would leave the device idle, so several programs share the documents; their sums are added in order.
    splits = max(1, min(problem.candidates, _FEWEST_PROGRAMS // max(row_tiles * parts, 1)))
    partial = queries.new_zeros((splits, rows, dim), dtype=torch.float32)
    if row_tiles and problem.candidates:
        on_device_of(queries, kernel, (row_tiles, parts, splits))(
            queries,
            documents,
            as_bytes(problem.document_mask),
            problem.query_offsets,
            problem.document_offsets,
            gradients,
            row_query,
            row_scale,
            residual,
            partial,
            queries.stride(0),
            documents.stride(0),
            problem.query_tokens,
            rows,
            problem.candidates,
            problem.document_tokens,
            documents.shape[0],
            chunks,
            -(-problem.candidates // splits),
            dim,
            problem.temperature,
            SCALED=row_scale is not None,
            ROWS=tiles.rows,
            **_layout(problem),
            **_widths(problem, tiles),
        )
    total = partial.sum(dim=0)
    return (total if back is None else total * back).to(queries.dtype)


def _document_tiles(problem: Problem, tokens: int) -> tuple[Tensor | None, Tensor | None, int]:
    """Which document each tile of packed tokens belongs to and where in it the tile begins; else tiles a document."""
    offsets = problem.document_offsets
    if offsets is None:
        return None, None, -(-problem.document_tokens // tokens)
    # The number of tiles is on the device; this bound is not.
    most = problem.documents.shape[0] // tokens + problem.document_count
    # Offsets that fall would number tiles from below 0.
    ends = ((offsets.diff().clamp(0, problem.documents.shape[0]) + tokens - 1) // tokens).cumsum(0)
    places = torch.arange(most, device=offsets.device)
    document = torch.searchsorted(ends, places, right=True)
    before = torch.nn.functional.pad(ends, (1, 0))[document]
    used = document < problem.document_count
    return document.where(used, -1).int(), ((places - before) * tokens).int(), 0


def _layout(problem: Problem) -> dict[str, bool]:
    return {
        "OWN": problem.own,
        "PACKED_QUERIES": problem.query_offsets is not None,
        "PACKED_DOCUMENTS": problem.document_offsets is not None,
        "MASKED_DOCUMENTS": problem.document_mask is not None,
    }


def _widths(problem: Problem, tiles: Tiles) -> dict[str, Any]:
    from rankgrad.ops.maxsim.kernels import COMPUTE

    dim, dtype = problem.queries.shape[1], _compute(problem)
    return {
        "TOKENS": tiles.tokens,
        "DIMS": tiles.dims,
        "WHOLE": dim <= tiles.dims,
        "EVEN": dim % tiles.dims == 0,
        # Triton's interpreter, which alone takes tensors of a CPU, multiplies the bit patterns of bfloat16.
        "COMPUTE": COMPUTE[
            torch.float32 if problem.queries.device.type == "cpu" and dtype == torch.bfloat16 else dtype
        ],
        "PRECISION": "tf32" if problem.tf32 and dtype == torch.float32 else "ieee",
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }


def _compute(problem: Problem) -> torch.dtype:
    """What is multiplied: the operands' common type, so that none is rounded."""
    return torch.promote_types(problem.queries.dtype, problem.documents.dtype)
