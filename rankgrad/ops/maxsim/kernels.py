"""MaxSim forward: a tile of query rows meets the tokens of one document; no similarity leaves the chip."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl

COMPUTE = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
LOG2E = tl.constexpr(1.4426950408889634)
NO_PLACE = tl.constexpr(2147483647)
NEVER = tl.constexpr(-float("inf"))


@triton.jit
def span(offsets_ptr, index, tokens, total, PACKED: tl.constexpr):
    """First row and number of rows of a query or document; -1 rows where the offsets leave the buffer or fall."""
    if PACKED:
        start = tl.load(offsets_ptr + index).to(tl.int64)
        stop = tl.load(offsets_ptr + index + 1).to(tl.int64)
        sound = (start >= 0) & (stop >= start) & (stop <= total)
        length = tl.where(sound, stop - start, -1).to(tl.int32)
        start = tl.where(sound, start, 0)
    else:
        start = index.to(tl.int64) * tokens
        length = tokens
    return start, length


@triton.jit
def load_rows(ptr, rows, columns, real, stride, dim, EVEN: tl.constexpr, COMPUTE: tl.constexpr):
    """``[rows, columns]`` of a matrix, 0 where a row is not real."""
    ptrs = ptr + rows[:, None] * stride + columns[None, :]
    if EVEN:
        tile = tl.load(ptrs, mask=real[:, None], other=0.0)
    else:
        tile = tl.load(ptrs, mask=real[:, None] & (columns < dim)[None, :], other=0.0)
    return tile.to(COMPUTE)


@triton.jit
def similarities(
    left,  # [LEFT, DIMS], read already where the whole width fits
    left_ptr,  # [rows, dim]
    left_rows,  # [LEFT]
    left_real,  # [LEFT]
    stride_left,
    right_ptr,  # [rows, dim]
    right_rows,  # [RIGHT]
    right_real,  # [RIGHT]
    stride_right,
    dim,
    LEFT: tl.constexpr,
    RIGHT: tl.constexpr,
    DIMS: tl.constexpr,
    WHOLE: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Dot products ``[LEFT, RIGHT]`` in float32, the width cut into parts where it is more than ``DIMS``."""
    columns = tl.arange(0, DIMS)
    if WHOLE:
        right = load_rows(right_ptr, right_rows, columns, right_real, stride_right, dim, EVEN, COMPUTE)
        products = tl.dot(left, tl.trans(right), input_precision=PRECISION)
    else:
        products = tl.zeros([LEFT, RIGHT], tl.float32)
        for first in range(0, dim, DIMS):
            part = first + columns
            near = load_rows(left_ptr, left_rows, part, left_real, stride_left, dim, EVEN, COMPUTE)
            far = load_rows(right_ptr, right_rows, part, right_real, stride_right, dim, EVEN, COMPUTE)
            products = tl.dot(near, tl.trans(far), products, input_precision=PRECISION)
    return products


@triton.jit
def document_tokens(mask_ptr, start, length, first, TOKENS: tl.constexpr, MASKED: tl.constexpr):
    """Places in the document, their rows, and which hold a real token."""
    places = first + tl.arange(0, TOKENS)
    rows = start + places
    real = places < length
    if MASKED:
        real = real & (tl.load(mask_ptr + rows, mask=real, other=0) != 0)
    return places, rows, real


_RUNTIME = ["query_count", "query_tokens", "query_rows", "candidates", "document_tokens_each", "document_rows"]


@triton.jit(do_not_specialize=[*_RUNTIME, "chunks"])
def _maxsim_forward_kernel(
    queries_ptr,  # [query_rows, dim]
    documents_ptr,  # [document_rows, dim]
    query_mask_ptr,  # [query_rows]
    document_mask_ptr,  # [document_rows]
    weights_ptr,  # [query_rows] float32
    query_offsets_ptr,  # [query_count + 1]
    document_offsets_ptr,  # [documents + 1]
    scores_ptr,  # [chunks, query_count, candidates] float32
    residual_ptr,  # [top_k, candidates, query_rows] int32 places, or float32 soft maxima
    stride_query,
    stride_document,
    query_count,
    query_tokens,
    query_rows,
    candidates,
    document_tokens_each,
    document_rows,
    dim,
    chunks,
    top_k,
    temperature,
    OWN: tl.constexpr,
    PACKED_QUERIES: tl.constexpr,
    PACKED_DOCUMENTS: tl.constexpr,
    MASKED_QUERIES: tl.constexpr,
    MASKED_DOCUMENTS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    MODE: tl.constexpr,  # "hard", "top_k", "soft"
    KEEP: tl.constexpr,
    QUERIES: tl.constexpr,
    SLOTS: tl.constexpr,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    WHOLE: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One document and QUERIES queries, each in SLOTS rows of the tile (or SLOTS rows of one long query)."""
    ROWS: tl.constexpr = QUERIES * SLOTS
    tiles = tl.cdiv(query_count, QUERIES) * chunks
    # Query tiles change fastest, so that programs which run together share a document in the cache.
    candidate = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    chunk = tile % chunks
    slots = tl.arange(0, ROWS)
    query = (tile // chunks) * QUERIES + slots // SLOTS
    inside = query < query_count
    if PACKED_QUERIES:
        query_start = tl.load(query_offsets_ptr + query, mask=inside, other=0).to(tl.int64)
        query_stop = tl.load(query_offsets_ptr + query + 1, mask=inside, other=0).to(tl.int64)
        query_stop = tl.minimum(query_stop, query_rows)
    else:
        query_start = query.to(tl.int64) * query_tokens
        query_stop = query_start + query_tokens
    rows = query_start + chunk * SLOTS + slots % SLOTS
    exists = inside & (rows < query_stop) & (rows >= 0)
    real = exists
    if MASKED_QUERIES:
        real = exists & (tl.load(query_mask_ptr + rows, mask=exists, other=0) != 0)
    document = candidate
    if OWN:
        document = (tile // chunks) * candidates + candidate
    start, length = span(document_offsets_ptr, document, document_tokens_each, document_rows, PACKED_DOCUMENTS)
    left = load_rows(queries_ptr, rows, tl.arange(0, DIMS), real, stride_query, dim, EVEN, COMPUTE)

    columns = tl.arange(0, TOKENS)
    seen = tl.zeros([TOKENS], tl.int32)
    residual_rows = residual_ptr + candidate.to(tl.int64) * query_rows + rows
    if MODE == "soft":
        scale = LOG2E / temperature
        peak = tl.full([ROWS], NEVER, tl.float32)
        total = tl.zeros([ROWS], tl.float32)
        for first in range(0, length, TOKENS):
            _, document_row, present = document_tokens(
                document_mask_ptr, start, length, first, TOKENS, MASKED_DOCUMENTS
            )
            products = similarities(
                left, queries_ptr, rows, real, stride_query,
                documents_ptr, document_row, present, stride_document,
                dim, ROWS, TOKENS, DIMS, WHOLE, EVEN, COMPUTE, PRECISION,
            )  # fmt: skip
            products = tl.where(present[None, :], products * scale, NEVER)
            seen = seen | present.to(tl.int32)
            higher = tl.maximum(peak, tl.max(products, 1))
            origin = tl.where(higher == NEVER, 0.0, higher)
            total = total * tl.exp2(peak - origin) + tl.sum(tl.exp2(products - origin[:, None]), 1)
            peak = higher
        value = (peak + tl.log2(tl.where(total == 0.0, 1.0, total))) / scale
        if KEEP:
            tl.store(residual_rows, tl.where(real, value, NEVER), mask=exists)
    else:
        value = tl.zeros([ROWS], tl.float32)
        total = tl.zeros([ROWS], tl.float32)
        counted = tl.zeros([ROWS], tl.int32)
        last = tl.full([ROWS], float("inf"), tl.float32)
        last_place = tl.full([ROWS], -1, tl.int32)
        step = candidates.to(tl.int64) * query_rows
        for turn in range(top_k):
            # A column keeps its own maximum over the document; columns are compared once, at the end.
            best = tl.full([ROWS, TOKENS], NEVER, tl.float32)
            best_first = tl.full([ROWS, TOKENS], -1, tl.int32)
            for first in range(0, length, TOKENS):
                places, document_row, present = document_tokens(
                    document_mask_ptr, start, length, first, TOKENS, MASKED_DOCUMENTS
                )
                products = similarities(
                    left, queries_ptr, rows, real, stride_query,
                    documents_ptr, document_row, present, stride_document,
                    dim, ROWS, TOKENS, DIMS, WHOLE, EVEN, COMPUTE, PRECISION,
                )  # fmt: skip
                seen = seen | present.to(tl.int32)
                allowed = present[None, :]
                if MODE == "top_k":
                    later = (products == last[:, None]) & (places[None, :] > last_place[:, None])
                    allowed = allowed & ((products < last[:, None]) | later | (products != products))
                peak = tl.maximum(best, tl.where(allowed, products, NEVER), propagate_nan=tl.PropagateNan.ALL)
                if KEEP or MODE == "top_k":
                    best_first = tl.where(peak != best, first, best_first)
                best = peak
            highest = tl.max(best, 1)
            is_nan = tl.max((best != best).to(tl.int32), 1) != 0
            highest = tl.where(is_nan, float("nan"), highest)
            if KEEP or MODE == "top_k":
                winner = (best_first >= 0) & ((best == highest[:, None]) | (best != best))
                place = tl.min(tl.where(winner, best_first + columns[None, :], NO_PLACE), 1)
                found = place < NO_PLACE
                if KEEP:
                    kept = tl.where(found & real, place, -1)
                    tl.store(residual_rows + turn * step, kept, mask=exists)
                total += tl.where(found, highest, 0.0)
                counted += found.to(tl.int32)
                last, last_place = highest, place
            value = highest
        if MODE == "top_k":
            value = total / tl.maximum(counted, 1).to(tl.float32)

    empty = tl.max(seen, 0) == 0
    value = tl.where(real & (length >= 0), tl.where(empty, 0.0, value), 0.0)
    if WEIGHTED:
        value = value * tl.load(weights_ptr + rows, mask=real, other=0.0)
    sums = tl.sum(tl.reshape(value, [QUERIES, SLOTS]), 1)
    asked = tl.max(tl.reshape(real.to(tl.int32), [QUERIES, SLOTS]), 1) != 0
    sums = tl.where(asked & empty, NEVER, sums)
    # Offsets that leave the buffer cannot be reported from here without waiting for the device.
    sums = tl.where(length < 0, float("nan"), sums)
    tile_query = (tile // chunks) * QUERIES + tl.arange(0, QUERIES)
    target = (chunk.to(tl.int64) * query_count + tile_query) * candidates + candidate
    tl.store(scores_ptr + target, sums, mask=tile_query < query_count)
