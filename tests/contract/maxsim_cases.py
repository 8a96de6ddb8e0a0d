"""MaxSim's rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from contract_case import DIM, Case
from torch import Tensor
from torch.nn.functional import pad

from rankgrad import ops


def queries(count: int, x: Tensor) -> Tensor:
    values = torch.arange(count * 3 * DIM, dtype=torch.float32, device=x.device).sin()
    return ((values * 4).round() / 4).view(count, 3, DIM).to(x.dtype)


def pairs(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any = "auto", **options: Any) -> Tensor:
    return ops.maxsim(queries(x.shape[0], x), x, None, mask, layout="pairs", backend=backend, **options)


def all_pairs(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(2, x), x, None, mask, reduction="mean")[1]


def candidates(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(1, x), x[None], None, mask[None], layout="candidates")[0]


def packed(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any = "auto", **options: Any) -> Tensor:
    ends = mask.sum(dim=-1).cumsum(dim=0).to(torch.int32)
    offsets = torch.cat([torch.zeros_like(ends[:1]), ends])
    return ops.maxsim(queries(1, x), x[mask], document_cu_seqlens=offsets, backend=backend, **options)[0]


def quantised(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any) -> Tensor:
    """The inputs are multiples of 1/16, so int8 holds them exactly; a scale carries what is no number."""
    codes = (x * 16).nan_to_num(0.0, 0.0, 0.0).clamp(-127, 127).to(torch.int8)
    tokens = ops.Int8Tokens(pad(codes, (0, 8 - DIM)), (x * 0).sum(dim=-1).float() + 1 / 16)
    asked = pad(queries(x.shape[0], x), (0, 8 - DIM))
    return ops.maxsim_quantised(asked, tokens, None, mask, layout="pairs", backend=backend)


def maxsim_case(name: str, call: Callable[..., Tensor], **options: Any) -> Case:
    # Kernels accumulate in float32, so their gradients are compared with the reference's instead.
    float64 = not name.endswith("triton")
    return Case(name, ops.maxsim, call, vectors=True, all_masked=float("-inf"), float64=float64, **options)


def quantised_case(backend: str) -> Case:
    call = partial(quantised, backend=backend)
    return replace(maxsim_case(f"maxsim_quantised-{backend}", call), covers=ops.maxsim_quantised, differentiable=False)


MAXIMA: dict[str, dict[str, Any]] = {
    f"{name}{backend}": {"backend": backend[1:] or "auto", **options}
    for backend in ("", "-reference", "-triton")
    for name, options in {"": {}, "-soft": {"temperature": 0.5}, "-top_k": {"top_k": 2}}.items()
}
CASES = [
    *(maxsim_case(f"maxsim-pairs{name}", partial(pairs, **options)) for name, options in MAXIMA.items()),
    maxsim_case("maxsim-all-pairs", all_pairs),
    maxsim_case("maxsim-candidates", candidates),
    *(
        maxsim_case(f"maxsim-packed{name}", partial(packed, **options), static=False)
        for name, options in MAXIMA.items()
    ),
    *map(quantised_case, ("auto", "reference", "triton")),
]
