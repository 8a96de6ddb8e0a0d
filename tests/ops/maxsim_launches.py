"""Every variant of the MaxSim kernels, built for one target: ``python maxsim_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.maxsim import backward_kernels, kernels, launch
from rankgrad.ops.maxsim.operands import problem_of
from rankgrad.ops.maxsim.problem import Problem

FP32, HALF = torch.float32, torch.float16
# name: (problem, is there a backward pass)
VARIANTS: dict[str, tuple[dict[str, Any], bool]] = {
    "rerank": ({"queries": 1}, False),
    "rerank, exact": ({"queries": 1, "dtype": FP32}, False),
    "in batch": ({}, True),
    "in batch, half": ({"dtype": HALF}, True),
    "in batch, masked and weighted": ({"masked": True}, True),
    "in batch, soft": ({"temperature": 0.1}, True),
    "in batch, top k": ({"top_k": 4}, True),
    "in batch, exact": ({"dtype": FP32}, True),
    "in batch, tf32": ({"dtype": FP32, "tf32": True}, True),
    "in batch, exact and soft": ({"dtype": FP32, "temperature": 0.1}, True),
    "width 96": ({"dim": 96, "masked": True}, True),
    "width 32, soft": ({"dim": 32, "temperature": 0.1}, True),
    "width 1024": ({"dim": 1024}, True),
    "width 1024, soft": ({"dim": 1024, "temperature": 0.1}, True),
    "width 768, exact and soft": ({"dim": 768, "dtype": FP32, "temperature": 0.1}, True),
    "packed": ({"packed": True}, True),
    "packed, soft": ({"packed": True, "masked": True, "temperature": 0.1}, True),
    "candidates": ({"layout": "candidates"}, True),
    "candidates, packed and soft": ({"layout": "candidates", "packed": True, "temperature": 0.1}, True),
    "pages": ({"queries": 1, "query_tokens": 1024, "document_tokens": 1024}, False),
    # More than 2^31 numbers, and more than 2^31 similarities' places.
    "huge": ({"queries": 1 << 12, "documents": 1 << 17, "document_tokens": 512}, True),
}


def problem(
    *,
    queries: int = 64,
    query_tokens: int = 32,
    documents: int = 64,
    document_tokens: int = 180,
    dim: int = 128,
    dtype: torch.dtype = torch.bfloat16,
    layout: Any = "all_pairs",
    packed: bool = False,
    masked: bool = False,
    temperature: float = 0.0,
    top_k: int = 1,
    tf32: bool = False,
) -> Problem:
    """Operands without contents."""
    with torch.device("meta"):
        query = torch.empty(queries, query_tokens, dim, dtype=dtype)
        leading = {"all_pairs": (documents,), "candidates": (queries, documents), "pairs": (queries,)}[layout]
        document = torch.empty(*leading, document_tokens, dim, dtype=dtype)
        query_offsets = document_offsets = query_mask = document_mask = weights = None
        if packed:
            query, document = query.flatten(0, 1), document.flatten(0, -2)
            query_offsets = torch.empty(queries + 1, dtype=torch.int32)
            document_offsets = torch.empty(torch.Size(leading).numel() + 1, dtype=torch.int32)
        if masked:
            query_mask = torch.empty(query.shape[:-1], dtype=torch.bool)
            document_mask = torch.empty(document.shape[:-1], dtype=torch.bool)
            weights = torch.empty(query.shape[:-1])
    return problem_of(
        query,
        document,
        query_mask,
        document_mask,
        weights,
        query_offsets,
        document_offsets,
        layout=layout,
        max_query_tokens=query_tokens,
        temperature=temperature,
        top_k=top_k,
        tf32=tf32,
    )


def launches(variant: str) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for module in (kernels, backward_kernels):
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            kernel = getattr(module, name)
            setattr(module, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    options, trained = VARIANTS[variant]
    given = problem(**options)
    scores, residual = launch.forward(given, keep=trained)
    if trained:
        wanted = {"queries": True, "documents": True, "weights": given.query_weights is not None}
        launch.backward(given, torch.empty_like(scores), residual, **wanted)
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant in VARIANTS
        for each in launches(variant)
    ]
    print(json.dumps(rows))
