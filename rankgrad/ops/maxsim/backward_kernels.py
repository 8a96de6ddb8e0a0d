"""MaxSim backward: every program owns the rows it writes, so gradients repeat bit for bit."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from rankgrad.ops.maxsim.kernels import LOG2E, NEVER, document_tokens, load_rows, similarities, span

_RUNTIME = ["query_count", "query_tokens", "query_rows", "candidates", "document_tokens_each", "document_rows"]


@triton.jit
def upstream(gradients_ptr, row_query_ptr, scale_ptr, rows, real, candidates, candidate, SCALED: tl.constexpr):
    """What each row's value of one document weighs in the loss: the score's gradient times the row's factor."""
    query = tl.load(row_query_ptr + rows, mask=real, other=0).to(tl.int64)
    gradient = tl.load(gradients_ptr + query * candidates + candidate, mask=real, other=0.0)
    if SCALED:
        scale = tl.load(scale_ptr + rows, mask=real, other=0.0)
        # A row that counts for nothing may hold anything, and 0 times anything need not be 0.
        gradient = tl.where(scale == 0.0, 0.0, gradient * scale)
    return gradient


@triton.jit(do_not_specialize=[*_RUNTIME])
def _maxsim_backward_documents_kernel(
    queries_ptr,  # [query_rows, dim]
    documents_ptr,  # [document_rows, dim]
    document_mask_ptr,  # [document_rows]
    query_offsets_ptr,  # [query_count + 1]
    document_offsets_ptr,  # [documents + 1]
    tile_document_ptr,  # [tiles] int32: whose each tile of packed documents is, -1 = nobody's
    tile_first_ptr,  # [tiles] int32: its first place in the document
    gradients_ptr,  # [query_count, candidates] float32
    back_ptr,  # [] float32: what the gradients were divided by
    row_query_ptr,  # [query_rows] int32
    scale_ptr,  # [query_rows] float32
    residual_ptr,  # [top_k, candidates, query_rows]
    grad_documents_ptr,  # [document_rows, dim]
    stride_query,
    stride_document,
    query_tokens,
    query_rows,
    candidates,
    document_tokens_each,
    document_rows,
    document_tiles,
    dim,
    top_k,
    temperature,
    OWN: tl.constexpr,
    PACKED_QUERIES: tl.constexpr,
    PACKED_DOCUMENTS: tl.constexpr,
    MASKED_DOCUMENTS: tl.constexpr,
    SCALED: tl.constexpr,
    BACK: tl.constexpr,
    SOFT: tl.constexpr,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    WHOLE: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """DIMS columns of the gradient of TOKENS tokens: the share each query row took of them, times the row."""
    if PACKED_DOCUMENTS:
        document = tl.load(tile_document_ptr + tl.program_id(0))
        first_place = tl.load(tile_first_ptr + tl.program_id(0))
        if document < 0:
            return
    else:
        document = tl.program_id(0) // document_tiles
        first_place = tl.program_id(0) % document_tiles * TOKENS
    part = tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    start, length = span(document_offsets_ptr, document, document_tokens_each, document_rows, PACKED_DOCUMENTS)
    places, document_row, present = document_tokens(
        document_mask_ptr, start, length, first_place, TOKENS, MASKED_DOCUMENTS
    )
    first_row = tl.zeros([], tl.int64)
    last_row = first_row + query_rows
    candidate = document
    if OWN:
        candidate = document % candidates
        first_row, rows_of_query = span(
            query_offsets_ptr, document // candidates, query_tokens, query_rows, PACKED_QUERIES
        )
        last_row = first_row + rows_of_query
    tokens = load_rows(documents_ptr, document_row, tl.arange(0, DIMS), present, stride_document, dim, EVEN, COMPUTE)
    step = candidates.to(tl.int64) * query_rows
    total = tl.zeros([TOKENS, DIMS], tl.float32)
    for begin in range(first_row, last_row, ROWS):
        rows = begin + tl.arange(0, ROWS)
        real = rows < last_row
        gradient = upstream(gradients_ptr, row_query_ptr, scale_ptr, rows, real, candidates, candidate, SCALED)
        residual_rows = residual_ptr + candidate.to(tl.int64) * query_rows + rows
        if SOFT:
            value = tl.load(residual_rows, mask=real, other=NEVER)
            real = value != NEVER
            gradient = tl.where(real, gradient, 0.0)
            products = similarities(
                tokens, documents_ptr, document_row, present, stride_document,
                queries_ptr, rows, real, stride_query,
                dim, TOKENS, ROWS, DIMS, WHOLE, EVEN, COMPUTE, PRECISION,
            )  # fmt: skip
            exponent = (products - tl.where(real, value, 0.0)[None, :]) * (LOG2E / temperature)
            share = tl.exp2(tl.where(real[None, :] & present[:, None], exponent, NEVER)) * gradient[None, :]
        else:
            counted = tl.zeros([ROWS], tl.int32)
            taken = tl.zeros([TOKENS, ROWS], tl.int32)
            for turn in range(top_k):
                place = tl.load(residual_rows + turn * step, mask=real, other=-1)
                counted += (place >= 0).to(tl.int32)
                taken += (places[:, None] == place[None, :]).to(tl.int32)
            gradient = gradient / tl.maximum(counted, 1).to(tl.float32)
            share = tl.where(taken != 0, gradient[None, :], 0.0)
            real = counted > 0
        near = load_rows(queries_ptr, rows, part, real, stride_query, dim, EVEN, COMPUTE)
        total = tl.dot(share.to(COMPUTE), near, total, input_precision=PRECISION)
    if BACK:
        total = total * tl.load(back_ptr)
    target = grad_documents_ptr + document_row[:, None] * dim + part[None, :]
    owned = (places < length)[:, None] & (part < dim)[None, :]
    tl.store(target, tl.where(present[:, None], total, 0.0), mask=owned)


@triton.jit(do_not_specialize=[*_RUNTIME])
def _maxsim_backward_queries_kernel(
    queries_ptr,  # [query_rows, dim]
    documents_ptr,  # [document_rows, dim]
    document_offsets_ptr,  # [documents + 1]
    gradients_ptr,  # [query_count, candidates] float32
    row_query_ptr,  # [query_rows] int32
    scale_ptr,  # [query_rows] float32
    residual_ptr,  # [top_k, candidates, query_rows] int32
    grad_queries_ptr,  # [query_rows, dim]
    grad_weights_ptr,  # [parts of the width, query_rows] float32
    stride_query,
    stride_document,
    query_rows,
    candidates,
    document_tokens_each,
    document_rows,
    dim,
    top_k,
    OWN: tl.constexpr,
    PACKED_DOCUMENTS: tl.constexpr,
    SCALED: tl.constexpr,
    WEIGHTED: tl.constexpr,
    ROWS: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    DIMS: tl.constexpr,
):
    """DIMS columns of the gradient of ROWS rows of queries under a hard maximum: the rows that won, gathered."""
    pairs = tl.arange(0, ROWS * DOCUMENTS)
    rows = tl.program_id(0).to(tl.int64) * ROWS + pairs // DOCUMENTS
    real = rows < query_rows
    part = tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    inside = part < dim
    query = tl.load(row_query_ptr + rows, mask=real, other=0)
    step = candidates.to(tl.int64) * query_rows
    total = tl.zeros([ROWS * DOCUMENTS, DIMS], tl.float32)
    for first in range(0, candidates, DOCUMENTS):
        candidate = first + pairs % DOCUMENTS
        asked = real & (candidate < candidates)
        score = query.to(tl.int64) * candidates + candidate
        gradient = tl.load(gradients_ptr + score, mask=asked, other=0.0)
        document = candidate
        if OWN:
            document = query * candidates + candidate
        if PACKED_DOCUMENTS:
            start = tl.load(document_offsets_ptr + document, mask=asked, other=0).to(tl.int64)
        else:
            start = document.to(tl.int64) * document_tokens_each
        residual_rows = residual_ptr + candidate.to(tl.int64) * query_rows + rows
        counted = tl.zeros([ROWS * DOCUMENTS], tl.int32)
        for turn in range(top_k):
            counted += (tl.load(residual_rows + turn * step, mask=asked, other=-1) >= 0).to(tl.int32)
        gradient = gradient / tl.maximum(counted, 1).to(tl.float32)
        for turn in range(top_k):
            place = tl.load(residual_rows + turn * step, mask=asked, other=-1)
            won = place >= 0
            document_row = start + place
            if PACKED_DOCUMENTS:
                # A row that falling offsets give to two queries has the places of one and the documents of the other.
                won = won & (document_row >= 0) & (document_row < document_rows)
            winner = documents_ptr + document_row[:, None] * stride_document + part[None, :]
            tokens = tl.load(winner, mask=won[:, None] & inside[None, :], other=0.0).to(tl.float32)
            total += tl.where(won, gradient, 0.0)[:, None] * tokens
    received = tl.sum(tl.reshape(total, [ROWS, DOCUMENTS, DIMS]), 1)
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = row < query_rows
    both = here[:, None] & inside[None, :]
    if WEIGHTED:
        own = tl.load(queries_ptr + row[:, None] * stride_query + part[None, :], mask=both, other=0.0)
        product = tl.where(received == 0.0, 0.0, own.to(tl.float32) * received)
        tl.store(grad_weights_ptr + tl.program_id(1) * query_rows + row, tl.sum(product, 1), mask=here)
    if SCALED:
        scale = tl.load(scale_ptr + row, mask=here, other=0.0)
        received = tl.where(scale[:, None] == 0.0, 0.0, received * scale[:, None])
    tl.store(grad_queries_ptr + row[:, None] * dim + part[None, :], received, mask=both)


@triton.jit(do_not_specialize=[*_RUNTIME, "chunks", "share_of_candidates"])
def _maxsim_soft_backward_queries_kernel(
    queries_ptr,  # [query_rows, dim]
    documents_ptr,  # [document_rows, dim]
    document_mask_ptr,  # [document_rows]
    query_offsets_ptr,  # [query_count + 1]
    document_offsets_ptr,  # [documents + 1]
    gradients_ptr,  # [query_count, candidates] float32
    row_query_ptr,  # [query_rows] int32
    scale_ptr,  # [query_rows] float32
    residual_ptr,  # [1, candidates, query_rows] float32 soft maxima
    partial_ptr,  # [splits, query_rows, dim] float32
    stride_query,
    stride_document,
    query_tokens,
    query_rows,
    candidates,
    document_tokens_each,
    document_rows,
    chunks,
    share_of_candidates,
    dim,
    temperature,
    OWN: tl.constexpr,
    PACKED_QUERIES: tl.constexpr,
    PACKED_DOCUMENTS: tl.constexpr,
    MASKED_DOCUMENTS: tl.constexpr,
    SCALED: tl.constexpr,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    WHOLE: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """DIMS columns of the gradient of ROWS rows of queries from one share of the documents, weights recomputed."""
    split = tl.program_id(2)
    part = tl.program_id(1) * DIMS + tl.arange(0, DIMS)
    first_row = tl.program_id(0).to(tl.int64) * ROWS
    last_row = first_row * 0 + query_rows
    query = 0
    if OWN:
        query = tl.program_id(0) // chunks
        first_row, rows_of_query = span(query_offsets_ptr, query, query_tokens, query_rows, PACKED_QUERIES)
        last_row = first_row + rows_of_query
        first_row += tl.program_id(0) % chunks * ROWS
    rows = first_row + tl.arange(0, ROWS)
    real = rows < last_row
    left = load_rows(queries_ptr, rows, tl.arange(0, DIMS), real, stride_query, dim, EVEN, COMPUTE)
    total = tl.zeros([ROWS, DIMS], tl.float32)
    step = query_rows.to(tl.int64)
    begin = split * share_of_candidates
    for candidate in range(begin, tl.minimum(begin + share_of_candidates, candidates)):
        document = candidate
        if OWN:
            document = query * candidates + candidate
        start, length = span(document_offsets_ptr, document, document_tokens_each, document_rows, PACKED_DOCUMENTS)
        gradient = upstream(gradients_ptr, row_query_ptr, scale_ptr, rows, real, candidates, candidate, SCALED)
        value = tl.load(residual_ptr + candidate * step + rows, mask=real, other=NEVER)
        counts = value != NEVER
        gradient = tl.where(counts, gradient, 0.0)
        for first in range(0, length, TOKENS):
            _, document_row, present = document_tokens(
                document_mask_ptr, start, length, first, TOKENS, MASKED_DOCUMENTS
            )
            products = similarities(
                left, queries_ptr, rows, counts, stride_query,
                documents_ptr, document_row, present, stride_document,
                dim, ROWS, TOKENS, DIMS, WHOLE, EVEN, COMPUTE, PRECISION,
            )  # fmt: skip
            exponent = (products - tl.where(counts, value, 0.0)[:, None]) * (LOG2E / temperature)
            share = tl.exp2(tl.where(counts[:, None] & present[None, :], exponent, NEVER)) * gradient[:, None]
            tokens = load_rows(documents_ptr, document_row, part, present, stride_document, dim, EVEN, COMPUTE)
            total = tl.dot(share.to(COMPUTE), tokens, total, input_precision=PRECISION)
    target = partial_ptr + (split * query_rows + rows)[:, None] * dim + part[None, :]
    tl.store(target, total, mask=real[:, None] & (part < dim)[None, :])
