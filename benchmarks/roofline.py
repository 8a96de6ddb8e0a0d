"""The least time a MaxSim can take on a GPU, by its arithmetic and by the bytes that must move."""

from __future__ import annotations

from typing import NamedTuple

import torch

from benchmarks.cuda_clock import interleaved
from benchmarks.maxsim_data import Shape
from benchmarks.measure import spread

_ELEMENT = 2
_SIDE = 8192
_COPIED = 1 << 30


class Rates(NamedTuple):
    """Operations of a bfloat16 matrix product, and bytes read and written by a copy, a second."""

    operations: float
    bytes: float


def measured() -> Rates:
    """What this card does: a product of 8192 x 8192 matrices, and a copy of 1 GiB."""
    left, right = (torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.randint(256, (_COPIED,), device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    calls = {"product": [lambda: left @ right], "copy": [lambda: target.copy_(source)]}
    microseconds = {name: spread(found).p50 for name, found in interleaved(calls, rounds=10).items()}
    return Rates(2 * _SIDE**3 / microseconds["product"] * 1e6, 2 * _COPIED / microseconds["copy"] * 1e6)


def limit(shape: Shape, rates: Rates, *, gradient: bool = False, backward: bool = False, soft: bool = False) -> float:
    """Microseconds that no implementation in bfloat16 can fall below: the longer of arithmetic and traffic.

    Every operand is read once a pass, every result written once. ``gradient`` writes what a backward pass needs, four
    bytes a query token and document; ``backward`` adds that pass: sparse sums for hard maxima, two more products for
    soft ones (a kernel that holds no similarities computes a third).

    Example:
        >>> round(limit(Shape(1, 1000, 32, 180), Rates(790e12, 4.3e12)), 1)
        10.7
        >>> round(limit(Shape(64, 64, 32, 180), Rates(790e12, 4.3e12)), 1)
        7.6
    """
    pairs = shape.queries * shape.documents
    product = 2.0 * pairs * shape.query_tokens * shape.document_tokens * shape.dim
    operands = _ELEMENT * shape.dim * (shape.queries * shape.query_tokens + shape.documents * shape.document_tokens)
    scores, residual = 4.0 * pairs, 4.0 * pairs * shape.query_tokens
    operations, traffic = product, operands + scores
    if gradient or backward:
        traffic += residual
    if backward:
        operations += 2 * product if soft else 4.0 * pairs * shape.query_tokens * shape.dim
        traffic += 2 * operands + residual + scores
    return max(operations / rates.operations, traffic / rates.bytes) * 1e6
