"""Quantised MaxSim as an operator of torch: opaque to the compiler, with a shape known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops.maxsim import quantised_cpu, quantised_launch
from rankgrad.ops.maxsim.problem import check_offsets
from rankgrad.ops.maxsim.quantised_problem import QuantisedProblem
from rankgrad.ops.maxsim.quantised_tokens import check_centroid_ids


@torch.library.custom_op("rankgrad::maxsim_quantised", mutates_args=())
def maxsim_quantised_op(
    queries: Tensor,
    codes: Tensor,
    scales: Tensor | None,
    centroid_ids: Tensor | None,
    centroids: Tensor | None,
    bucket_weights: Tensor | None,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    document_offsets: Tensor | None,
    query_count: int,
    query_tokens: int,
    candidates: int,
    document_tokens: int,
    own: bool,
    zero_one: bool,
    normalise: bool,
    triton: bool,
) -> Tensor:
    """Scores ``[query_count, candidates]``."""
    problem = QuantisedProblem(
        queries,
        codes,
        scales,
        centroid_ids,
        centroids,
        bucket_weights,
        query_mask,
        document_mask,
        query_weights,
        document_offsets,
        query_count,
        query_tokens,
        candidates,
        document_tokens,
        own,
        zero_one,
        normalise,
    )
    return _compute(problem, triton=triton)


def _compute(problem: QuantisedProblem, *, triton: bool) -> Tensor:
    check_offsets(problem.document_offsets, problem.codes.shape[0], "document_cu_seqlens")
    if problem.centroid_ids is not None and problem.centroids is not None:
        check_centroid_ids(problem.centroid_ids, problem.document_mask, problem.centroids.shape[0])
    return (quantised_launch if triton else quantised_cpu).scores(problem)


@maxsim_quantised_op.register_fake
def _(*arguments: Any) -> Tensor:
    problem = QuantisedProblem(*arguments[:-1])
    return problem.queries.new_empty((problem.query_count, problem.candidates), dtype=problem.dtype)


def run(problem: QuantisedProblem, *, triton: bool) -> Tensor:
    """Scores ``[query_count, candidates]``."""
    if not torch.compiler.is_compiling() and problem.queries.device.type != "meta":
        # Nothing to trace: the operator's bookkeeping would be time lost.
        return _compute(problem, triton=triton)
    return maxsim_quantised_op(*problem, triton)
