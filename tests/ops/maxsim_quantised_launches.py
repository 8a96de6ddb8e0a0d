"""Every variant of the quantised kernel, built for one target: ``python maxsim_quantised_launches.py sm_90``."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.maxsim import quantised_kernels, quantised_launch
from rankgrad.ops.maxsim.operands import problem_of
from rankgrad.ops.maxsim.quantised_problem import QuantisedProblem, quantised_problem_of
from rankgrad.ops.maxsim.quantised_tokens import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, check_tokens

FORMATS = ("int8", "sign", "sign, zero and one", "residual 1", "residual 2", "residual 4", "residual 2, as they are")
SIZES: dict[str, dict[str, Any]] = {
    "": {},
    ", in batch": {"queries": 64},
    ", exact": {"dtype": torch.float32},
    ", half": {"dtype": torch.float16},
    ", width 96": {"dim": 96},
    ", width 32": {"dim": 32},
    ", width 768": {"dim": 768, "queries": 64},
    ", masked": {"masked": True},
    ", packed": {"packed": True},
    ", candidates": {"layout": "candidates", "queries": 8},
}


def tokens(kind: str, shape: tuple[int, ...], dim: int) -> QuantisedTokens:
    if kind == "int8":
        return Int8Tokens(torch.empty(*shape, dim, dtype=torch.int8), torch.empty(shape))
    if kind.startswith("sign"):
        return SignTokens(torch.empty(*shape, dim // 8, dtype=torch.uint8), kind.endswith("one"))
    bits = int(kind.split()[1][0])
    codes = torch.empty(*shape, dim * bits // 8, dtype=torch.uint8)
    ids, centroids = torch.empty(shape, dtype=torch.int32), torch.empty(4096, dim, dtype=torch.float16)
    return ResidualTokens(codes, ids, centroids, torch.empty(2**bits), not kind.endswith("are"))


def problem(
    kind: str,
    *,
    queries: int = 1,
    dim: int = 128,
    dtype: torch.dtype = torch.bfloat16,
    layout: Any = "all_pairs",
    masked: bool = False,
    packed: bool = False,
) -> QuantisedProblem:
    """Operands without contents."""
    with torch.device("meta"):
        query = torch.empty(queries, 32, dim, dtype=dtype)
        shape = (180_000,) if packed else (queries, 100, 180) if layout == "candidates" else (1000, 180)
        documents = tokens(kind, shape, dim)
        offsets = torch.empty(1001, dtype=torch.int32) if packed else None
        masks = (torch.empty(query.shape[:-1], dtype=torch.bool), torch.empty(shape, dtype=torch.bool), query[..., 0])
        stand_in = query.new_empty(1).expand(check_tokens(documents))
        operands = (query, stand_in, *(masks if masked else (None, None, None)), None, offsets)
    options: dict[str, Any] = {
        "layout": layout,
        "max_query_tokens": None,
        "temperature": 0.0,
        "top_k": 1,
        "tf32": False,
    }
    return quantised_problem_of(problem_of(*operands, **options), documents)


def launched(kind: str, options: dict[str, Any]) -> Launch:
    """What the package launches for a variant."""
    found: list[Launch] = []
    kernel: Any = quantised_kernels._maxsim_quantised_kernel
    quantised_kernels._maxsim_quantised_kernel = Recorder(
        kernel.kernel if isinstance(kernel, Recorder) else kernel, found
    )
    quantised_launch.scores(problem(kind, **options))
    return found[0]


# How rows are found and cut does not depend on the format: all sizes of one format, the first few of each other.
FIRST_SIZES = 3

if __name__ == "__main__":
    rows = [
        {"variant": kind + size, "kernel": launch.kernel.__name__, **compile_for(launch, sys.argv[1])}
        for kind in FORMATS
        for size, options in list(SIZES.items())[: None if kind == FORMATS[0] else FIRST_SIZES]
        for launch in [launched(kind, options)]
    ]
    print(json.dumps(rows))
