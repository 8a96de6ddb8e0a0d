"""MaxSim as operators of torch: opaque to the compiler, differentiable, with shapes known beforehand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops.maxsim import cpu, launch
from rankgrad.ops.maxsim.problem import Problem, check_offsets

_QUERIES, _DOCUMENTS, _WEIGHTS = 0, 1, 4
_FIELDS = len(Problem._fields)


@torch.library.custom_op("rankgrad::maxsim", mutates_args=())
def maxsim_op(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    query_offsets: Tensor | None,
    document_offsets: Tensor | None,
    query_count: int,
    query_tokens: int,
    candidates: int,
    document_tokens: int,
    own: bool,
    temperature: float,
    top_k: int,
    tf32: bool,
    keep: bool,
    triton: bool,
) -> tuple[Tensor, Tensor]:
    """Scores ``[query_count, candidates]``, and the residual of the backward pass where ``keep``; else it is empty."""
    problem = Problem(
        queries,
        documents,
        query_mask,
        document_mask,
        query_weights,
        query_offsets,
        document_offsets,
        query_count,
        query_tokens,
        candidates,
        document_tokens,
        own,
        temperature,
        top_k,
        tf32,
    )
    return compute(problem, keep=keep, triton=triton)


def compute(problem: Problem, *, keep: bool, triton: bool) -> tuple[Tensor, Tensor]:
    """What the operator computes, without torch's machinery around it."""
    check_offsets(problem.query_offsets, problem.queries.shape[0], "query_cu_seqlens", problem.query_tokens)
    check_offsets(problem.document_offsets, problem.documents.shape[0], "document_cu_seqlens")
    return (launch if triton else cpu).forward(problem, keep=keep)


@maxsim_op.register_fake
def _(*arguments: Any) -> tuple[Tensor, Tensor]:
    problem, keep = Problem(*arguments[:_FIELDS]), arguments[_FIELDS]
    scores = problem.queries.new_empty((problem.query_count, problem.candidates), dtype=problem.dtype)
    residual = problem.queries.new_empty(problem.residual_shape if keep else 0, dtype=problem.residual_dtype)
    return scores, residual


@torch.library.custom_op("rankgrad::maxsim_backward", mutates_args=())
def maxsim_backward_op(
    gradients: Tensor,
    residual: Tensor,
    wanted: list[bool],
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None,
    document_mask: Tensor | None,
    query_weights: Tensor | None,
    query_offsets: Tensor | None,
    document_offsets: Tensor | None,
    query_count: int,
    query_tokens: int,
    candidates: int,
    document_tokens: int,
    own: bool,
    temperature: float,
    top_k: int,
    tf32: bool,
    triton: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, documents and weights; an empty one where it is not wanted."""
    problem = Problem(
        queries,
        documents,
        query_mask,
        document_mask,
        query_weights,
        query_offsets,
        document_offsets,
        query_count,
        query_tokens,
        candidates,
        document_tokens,
        own,
        temperature,
        top_k,
        tf32,
    )
    implementation = launch if triton else cpu
    found = implementation.backward(
        problem, gradients, residual, queries=wanted[0], documents=wanted[1], weights=wanted[2]
    )
    like = (queries, documents, query_weights)
    first, second, third = (
        queries.new_empty(0) if gradient is None or operand is None else gradient.to(operand.dtype)
        for gradient, operand in zip(found, like, strict=True)
    )
    return first, second, third


@maxsim_backward_op.register_fake
def _(gradients: Tensor, residual: Tensor, wanted: list[bool], *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    problem = Problem(*arguments[:_FIELDS])
    like = (problem.queries, problem.documents, problem.query_weights)
    first, second, third = (
        torch.empty_like(operand, memory_format=torch.contiguous_format)
        if want and operand is not None
        else problem.queries.new_empty(0)
        for want, operand in zip(wanted, like, strict=True)
    )
    return first, second, third


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs[:7], output[1])
    ctx.options = (*inputs[7:_FIELDS], inputs[_FIELDS + 1])


def _backward(ctx: Any, gradients: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, residual = ctx.saved_tensors
    wanted = [ctx.needs_input_grad[place] for place in (_QUERIES, _DOCUMENTS, _WEIGHTS)]
    found = maxsim_backward_op(gradients.contiguous(), residual, wanted, *tensors, *ctx.options)
    result: list[Tensor | None] = [None] * (_FIELDS + 2)
    for place, want, gradient in zip((_QUERIES, _DOCUMENTS, _WEIGHTS), wanted, found, strict=True):
        result[place] = gradient if want else None
    return tuple(result)


maxsim_op.register_autograd(_backward, setup_context=_setup)


def run(problem: Problem, *, triton: bool) -> Tensor:
    """Scores ``[query_count, candidates]``, differentiable once in queries, documents and weights."""
    operands = (problem.queries, problem.documents, problem.query_weights)
    keep = torch.is_grad_enabled() and any(operand is not None and operand.requires_grad for operand in operands)
    if not keep and not torch.compiler.is_compiling() and problem.queries.device.type != "meta":
        # Nothing to differentiate and nothing to trace: the operator's bookkeeping would be time lost.
        return compute(problem, keep=False, triton=triton)[0]
    return maxsim_op(*problem, keep, triton)[0]
