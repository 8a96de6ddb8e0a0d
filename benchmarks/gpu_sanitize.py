"""Every kernel once on small odd shapes, to be run under compute-sanitizer; each result against the definition.

``compute-sanitizer python -m benchmarks.gpu_sanitize``, with ``PYTORCH_NO_CUDA_MEMORY_CACHING=1`` so that the end of
every tensor is the end of an allocation.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import gpu_kernels
from rankgrad.ops import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, maxsim, maxsim_quantised

_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


class Case(NamedTuple):
    """One call: its options, which sides are packed, and sizes that fill no tile."""

    name: str
    options: dict[str, Any]
    dtype: torch.dtype = torch.float32
    layout: str = "all_pairs"
    packed_queries: bool = False
    packed_documents: bool = False
    weighted: bool = False
    queries: int = 3
    query_tokens: int = 5
    documents: int = 7
    document_tokens: int = 37
    dim: int = 24


CASES = (
    Case("hard, masks", {}),
    Case("hard, packed, weights", {}, torch.bfloat16, packed_queries=True, packed_documents=True, weighted=True),
    Case("hard, candidates", {}, torch.bfloat16, layout="candidates", weighted=True),
    Case("hard, wide, long queries", {}, torch.bfloat16, query_tokens=131, dim=200),
    Case("hard, one query, many documents", {}, torch.bfloat16, queries=1, documents=41, dim=128),
    Case("top_k, masks, weights", {"top_k": 3}, weighted=True),
    Case("top_k, pairs, packed", {"top_k": 3}, torch.bfloat16, layout="pairs", packed_documents=True),
    Case("soft, masks, weights", {"temperature": 0.1}, torch.bfloat16, weighted=True),
    Case("soft, candidates, packed", {"temperature": 0.1}, layout="candidates", packed_documents=True),
    Case("soft, packed queries", {"temperature": 0.1}, torch.bfloat16, packed_queries=True),
    Case("soft, width 32", {"temperature": 0.1}, torch.bfloat16, dim=32),
    Case("soft, wide", {"temperature": 0.1}, torch.bfloat16, dim=200),
)

FORMS = ("int8", "signs", "residual 1", "residual 2", "residual 4")


def main() -> int:
    """Run all; 1 where there is no CUDA device."""
    if not torch.cuda.is_available():
        print("gpu_sanitize: error: no CUDA device", file=sys.stderr)
        return 1
    for case in CASES:
        torch.manual_seed(0)
        check_maxsim(case)
        print(f"agrees: maxsim, {case.name}", flush=True)
    for form in FORMS:
        for packed in (False, True):
            torch.manual_seed(0)
            check_quantised(form, packed=packed)
            print(f"agrees: maxsim_quantised, {form}, {'packed' if packed else 'masks'}", flush=True)
    for size, calls in ((gpu_kernels.SIZES[0], gpu_kernels.CALLS), (gpu_kernels.LONG, gpu_kernels.LONG_CALLS)):
        for name, call in calls.items():
            torch.manual_seed(0)
            gpu_kernels.check(call, *size)
            print(f"agrees: {name}, {size[1]} items", flush=True)
    return 0


def check_maxsim(case: Case, *, backend: str = "triton", device: str = "cuda") -> None:
    """Forward and backward against the definition on the CPU, under a random upstream gradient."""
    operands, masks = _operands(case)
    results = []
    for place, path in ((device, backend), ("cpu", "reference")):
        leaves = {name: each.to(place, copy=True).requires_grad_() for name, each in operands.items()}
        rest = {name: each.to(place) for name, each in masks.items()}
        scores = maxsim(**leaves, **rest, layout=case.layout, backend=path, **case.options)  # type: ignore[arg-type]
        upstream = torch.linspace(-1.0, 1.0, scores.numel()).view_as(scores).to(place)
        # A document without a real token scores -inf, whatever its gradient.
        upstream = upstream.masked_fill(scores.isneginf(), 0.0)
        found = torch.autograd.grad(scores, list(leaves.values()), upstream)
        results.append([each.detach().cpu().float() for each in (scores, *found)])
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=_TOLERANCES[case.dtype], atol=_TOLERANCES[case.dtype])


def _operands(case: Case) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Operands that are differentiated, and masks or offsets; the first document of those masked has no real token."""
    query_rows, query_rest = _rows(case, case.queries, case.query_tokens, "query", case.packed_queries)
    shape = {"all_pairs": (), "candidates": (case.queries,), "pairs": ()}[case.layout]
    count = case.queries if case.layout == "pairs" else case.documents
    total = count * (case.queries if case.layout == "candidates" else 1)
    document_rows, document_rest = _rows(case, total, case.document_tokens, "document", case.packed_documents)
    if not case.packed_documents and shape:
        document_rows = document_rows.unflatten(0, (case.queries, count))
        document_rest = {name: each.unflatten(0, (case.queries, count)) for name, each in document_rest.items()}
    operands = {"queries": query_rows, "documents": document_rows}
    if case.weighted:
        operands["query_weights"] = torch.rand(query_rows.shape[:-1])
    return operands, query_rest | document_rest


def _rows(case: Case, count: int, tokens: int, side: str, packed: bool) -> tuple[Tensor, dict[str, Tensor]]:
    padded = torch.nn.functional.normalize(torch.randn(count, tokens, case.dim), dim=-1).to(case.dtype)
    lengths = torch.randint(1, tokens + 1, (count,))
    lengths[0] = 0 if side == "document" else tokens
    mask = torch.arange(tokens) < lengths[:, None]
    if not packed:
        return padded, {f"{side}_mask": mask}
    return padded[mask], {f"{side}_cu_seqlens": torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).int()}


def check_quantised(form: str, *, packed: bool, backend: str = "triton", device: str = "cuda") -> None:
    """Scores of random codes against the definition on the CPU."""
    case = Case(form, {})
    _, rest = _rows(case, case.documents, case.document_tokens, "document", packed)
    axes = (int(rest["document_cu_seqlens"][-1]),) if packed else (case.documents, case.document_tokens)
    tokens = _tokens(form, axes, case.dim)
    queries = torch.randn(case.queries, case.query_tokens, case.dim)
    scores = [
        maxsim_quantised(
            queries.to(place),
            _at(tokens, place),
            backend=path,  # type: ignore[arg-type]
            **{name: each.to(place) for name, each in rest.items()},  # type: ignore[arg-type]
        ).cpu()
        for place, path in ((device, backend), ("cpu", "reference"))
    ]
    torch.testing.assert_close(*scores, rtol=1e-3, atol=1e-3)


def _tokens(form: str, axes: tuple[int, ...], dim: int) -> QuantisedTokens:
    if form == "int8":
        return Int8Tokens(torch.randint(-127, 128, (*axes, dim), dtype=torch.int8), torch.rand(axes) / 127)
    if form == "signs":
        return SignTokens(torch.randint(256, (*axes, dim // 8), dtype=torch.uint8))
    bits = int(form.split()[1])
    codes = torch.randint(256, (*axes, dim * bits // 8), dtype=torch.uint8)
    ids = torch.randint(5, axes, dtype=torch.int32)
    return ResidualTokens(codes, ids, torch.randn(5, dim), torch.randn(2**bits).sort().values)


def _at(tokens: QuantisedTokens, place: str) -> QuantisedTokens:
    moved = {name: value.to(place) for name, value in tokens._asdict().items() if isinstance(value, Tensor)}
    return tokens._replace(**moved)


if __name__ == "__main__":
    sys.exit(main())
