"""Quantised MaxSim forward: documents are unpacked in registers and nowhere else."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import triton
import triton.language as tl

from rankgrad.ops.maxsim.kernels import NEVER, document_tokens, load_rows, span


@triton.jit
def packed_codes(
    codes_ptr,  # [rows, dim * BITS / 8] uint8
    rows,  # [TOKENS]
    real,  # [TOKENS]
    stride,
    first,
    dim,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    BITS: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Codes ``[TOKENS, DIMS]`` of the columns from ``first``, each byte read once."""
    EACH: tl.constexpr = 8 // BITS
    places = first // EACH + tl.arange(0, DIMS // EACH)
    present = real[:, None]
    if not EVEN:
        present = present & (places < dim // EACH)[None, :]
    packed = tl.load(codes_ptr + rows[:, None] * stride + places[None, :], mask=present, other=0).to(tl.int32)
    shifts = (EACH - 1 - tl.arange(0, EACH)) * BITS
    codes = (packed[:, :, None] >> shifts[None, None, :]) & ((1 << BITS) - 1)
    return tl.reshape(codes, [TOKENS, DIMS])


@triton.jit
def part_products(
    products,  # [ROWS, TOKENS]
    squares,  # [TOKENS]
    near,  # [ROWS, DIMS]
    codes_ptr,
    centroids_ptr,
    buckets_ptr,
    rows,
    ids,
    real,
    stride_code,
    stride_centroid,
    first,
    dim,
    FORMAT: tl.constexpr,
    BITS: tl.constexpr,
    ZERO_ONE: tl.constexpr,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Adds the columns from ``first`` to the dot products and to the tokens' sums of squares."""
    columns = first + tl.arange(0, DIMS)
    if FORMAT == "int8":
        far = load_rows(codes_ptr, rows, columns, real, stride_code, dim, EVEN, COMPUTE)
    elif FORMAT == "sign":
        far = packed_codes(codes_ptr, rows, real, stride_code, first, dim, TOKENS, DIMS, BITS, EVEN)
        if not ZERO_ONE:
            far = 2 * far - 1
        far = far.to(COMPUTE)
    else:
        codes = packed_codes(codes_ptr, rows, real, stride_code, first, dim, TOKENS, DIMS, BITS, EVEN)
        value = load_rows(centroids_ptr, ids, columns, real, stride_centroid, dim, EVEN, tl.float32)
        value += tl.load(buckets_ptr + codes)
        if not EVEN:
            value = tl.where((columns < dim)[None, :], value, 0.0)
        squares += tl.sum(value * value, 1)
        far = value.to(COMPUTE)
        if COMPUTE != tl.float32:  # noqa: SIM300
            # What 16 bits leave out is multiplied too, so that scores do not depend on the type of the queries.
            rest = (value - far.to(tl.float32)).to(COMPUTE)
            products = tl.dot(near, tl.trans(rest), products)
    return tl.dot(near, tl.trans(far), products, input_precision="ieee"), squares


_RUNTIME = ["query_count", "query_tokens", "candidates", "document_tokens_each", "document_rows", "centroid_count"]


@triton.jit(do_not_specialize=[*_RUNTIME, "chunks"])
def _maxsim_quantised_kernel(
    queries_ptr,  # [query_rows, dim]
    codes_ptr,  # [document_rows, bytes] int8 or uint8
    scales_ptr,  # [document_rows] float32
    centroid_ids_ptr,  # [document_rows] int32
    centroids_ptr,  # [centroid_count, dim]
    buckets_ptr,  # [2 ** BITS] float32, in the order of the packed codes
    query_mask_ptr,  # [query_rows]
    document_mask_ptr,  # [document_rows]
    weights_ptr,  # [query_rows] float32
    document_offsets_ptr,  # [documents + 1]
    scores_ptr,  # [chunks, query_count, candidates] float32
    stride_query,
    stride_code,
    stride_centroid,
    query_count,
    query_tokens,
    candidates,
    document_tokens_each,
    document_rows,
    centroid_count,
    dim,
    chunks,
    FORMAT: tl.constexpr,  # "int8", "sign", "residual"
    BITS: tl.constexpr,
    ZERO_ONE: tl.constexpr,
    NORMALISE: tl.constexpr,
    OWN: tl.constexpr,
    PACKED_DOCUMENTS: tl.constexpr,
    MASKED_QUERIES: tl.constexpr,
    MASKED_DOCUMENTS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    QUERIES: tl.constexpr,
    SLOTS: tl.constexpr,
    TOKENS: tl.constexpr,
    DIMS: tl.constexpr,
    WHOLE: tl.constexpr,
    EVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
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
    place = chunk * SLOTS + slots % SLOTS
    rows = query.to(tl.int64) * query_tokens + place
    real = (query < query_count) & (place < query_tokens)
    if MASKED_QUERIES:
        real = real & (tl.load(query_mask_ptr + rows, mask=real, other=0) != 0)
    document = candidate
    if OWN:
        document = (tile // chunks) * candidates + candidate
    start, length = span(document_offsets_ptr, document, document_tokens_each, document_rows, PACKED_DOCUMENTS)
    left = load_rows(queries_ptr, rows, tl.arange(0, DIMS), real, stride_query, dim, EVEN, COMPUTE)

    best = tl.full([ROWS, TOKENS], NEVER, tl.float32)
    seen = tl.zeros([TOKENS], tl.int32)
    for token in range(0, length, TOKENS):
        _, document_row, present = document_tokens(document_mask_ptr, start, length, token, TOKENS, MASKED_DOCUMENTS)
        there = present
        ids = document_row
        if FORMAT == "residual":
            ids = tl.load(centroid_ids_ptr + document_row, mask=present, other=0).to(tl.int64)
            there = present & (ids >= 0) & (ids < centroid_count)
        products = tl.zeros([ROWS, TOKENS], tl.float32)
        squares = tl.zeros([TOKENS], tl.float32)
        if WHOLE:
            products, squares = part_products(
                products, squares, left, codes_ptr, centroids_ptr, buckets_ptr, document_row, ids, there,
                stride_code, stride_centroid, 0, dim, FORMAT, BITS, ZERO_ONE, TOKENS, DIMS, EVEN, COMPUTE,
            )  # fmt: skip
        else:
            for first in range(0, dim, DIMS):
                near = load_rows(
                    queries_ptr, rows, first + tl.arange(0, DIMS), real, stride_query, dim, EVEN, COMPUTE
                )  # fmt: skip
                products, squares = part_products(
                    products, squares, near, codes_ptr, centroids_ptr, buckets_ptr, document_row, ids, there,
                    stride_code, stride_centroid, first, dim, FORMAT, BITS, ZERO_ONE, TOKENS, DIMS, EVEN, COMPUTE,
                )  # fmt: skip
        if FORMAT == "int8":
            products *= tl.load(scales_ptr + document_row, mask=present, other=0.0)[None, :]
        if FORMAT == "residual":
            if NORMALISE:
                products = products / tl.maximum(tl.sqrt(squares), 1e-12, propagate_nan=tl.PropagateNan.ALL)[None, :]
            # A centroid that is not there cannot be reported from here without waiting for the device.
            products = tl.where(there[None, :], products, float("nan"))
        seen = seen | present.to(tl.int32)
        products = tl.where(present[None, :], products, NEVER)
        # A column keeps its own maximum over the document; columns are compared once, at the end.
        best = tl.maximum(best, products, propagate_nan=tl.PropagateNan.ALL)
    value = tl.max(best, 1)
    value = tl.where(tl.max((best != best).to(tl.int32), 1) != 0, float("nan"), value)

    empty = tl.max(seen, 0) == 0
    value = tl.where(real & (not empty), value, 0.0)
    if WEIGHTED:
        value = value * tl.load(weights_ptr + rows, mask=real, other=0.0)
    sums = tl.sum(tl.reshape(value, [QUERIES, SLOTS]), 1)
    asked = tl.max(tl.reshape(real.to(tl.int32), [QUERIES, SLOTS]), 1) != 0
    sums = tl.where(asked & empty, NEVER, sums)
    # Nor can offsets that leave the buffer.
    sums = tl.where(length < 0, float("nan"), sums)
    tile_query = (tile // chunks) * QUERIES + tl.arange(0, QUERIES)
    target = (chunk.to(tl.int64) * query_count + tile_query) * candidates + candidate
    tl.store(scores_ptr + target, sums, mask=tile_query < query_count)
