"""From a quantised problem to a kernel launch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._arguments import as_bytes, as_rows
from rankgrad.ops._launch import on_device_of
from rankgrad.ops.maxsim.quantised_problem import QuantisedProblem
from rankgrad.ops.maxsim.tiles import Tiles, forward_tiles


def scores(problem: QuantisedProblem) -> Tensor:
    """Scores ``[query_count, candidates]``."""
    from rankgrad.ops.maxsim.quantised_kernels import _maxsim_quantised_kernel

    queries, codes = as_rows(problem.queries), as_rows(problem.codes)
    dim, weights = queries.shape[1], problem.query_weights
    tiles = _tiles(problem)
    chunks = max(1, -(-problem.query_tokens // tiles.slots))
    sums = queries.new_empty((chunks, problem.query_count, problem.candidates), dtype=torch.float32)
    programs = -(-problem.query_count // tiles.queries) * chunks * problem.candidates
    centroids = None if problem.centroids is None else as_rows(problem.centroids)
    buckets = None if problem.bucket_weights is None else _by_packed_code(problem.bucket_weights)
    if programs:
        on_device_of(queries, _maxsim_quantised_kernel, (programs,))(
            queries,
            codes,
            None if problem.scales is None else problem.scales.contiguous(),
            None if problem.centroid_ids is None else problem.centroid_ids.contiguous(),
            centroids,
            buckets,
            as_bytes(problem.query_mask),
            as_bytes(problem.document_mask),
            None if weights is None else weights.float().contiguous(),
            problem.document_offsets,
            sums,
            queries.stride(0),
            codes.stride(0),
            0 if centroids is None else centroids.stride(0),
            problem.query_count,
            problem.query_tokens,
            problem.candidates,
            problem.document_tokens,
            codes.shape[0],
            0 if centroids is None else centroids.shape[0],
            dim,
            chunks,
            **_constants(problem, tiles),
        )
    return sums[0] if chunks == 1 else sums.sum(dim=0)


def _tiles(problem: QuantisedProblem) -> Tiles:
    dim, dtype = problem.queries.shape[1], problem.queries.dtype
    tiles = forward_tiles(problem.query_count, problem.query_tokens, dim, dtype, own=problem.own)
    if dtype == torch.float32:
        # Without tensor cores a thread holds its operands for all of a part's columns.
        return tiles._replace(dims=min(tiles.dims, 32), warps=8)
    # A residual is a float32 and two 16-bit operands before it is multiplied.
    return tiles._replace(tokens=32) if problem.format == "residual" else tiles


def _constants(problem: QuantisedProblem, tiles: Tiles) -> dict[str, Any]:
    from rankgrad.ops.maxsim.kernels import COMPUTE

    dim, dtype = problem.queries.shape[1], problem.queries.dtype
    # Triton's interpreter, which alone takes tensors of a CPU, multiplies the bit patterns of bfloat16.
    interpreted = problem.queries.device.type == "cpu" and dtype == torch.bfloat16
    return {
        "FORMAT": problem.format,
        "BITS": 8 * problem.codes.shape[1] // dim,
        "ZERO_ONE": problem.zero_one,
        "NORMALISE": problem.normalise,
        "OWN": problem.own,
        "PACKED_DOCUMENTS": problem.document_offsets is not None,
        "MASKED_QUERIES": problem.query_mask is not None,
        "MASKED_DOCUMENTS": problem.document_mask is not None,
        "WEIGHTED": problem.query_weights is not None,
        "QUERIES": tiles.queries,
        "SLOTS": tiles.slots,
        "TOKENS": tiles.tokens,
        "DIMS": tiles.dims,
        "WHOLE": dim <= tiles.dims,
        "EVEN": dim % tiles.dims == 0,
        "COMPUTE": COMPUTE[torch.float32 if interpreted else dtype],
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }


def _by_packed_code(weights: Tensor) -> Tensor:
    """Bucket weights in the order of the packed codes, which hold a bucket's lowest bit first."""
    bits = weights.shape[0].bit_length() - 1
    places = torch.arange(bits, device=weights.device)
    packed = torch.arange(weights.shape[0], device=weights.device).unsqueeze(1)
    return weights.float()[((packed >> places & 1) << places.flip(0)).sum(1)]
