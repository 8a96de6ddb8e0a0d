"""Sigmoid ranks on a CPU at temperatures that leave them smooth: a polynomial of two values stands for all pairs.

``docs/ops/soft_rank.md`` derives it.
"""

from __future__ import annotations

from functools import lru_cache
from math import asinh, ceil, pi
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.pairwise_rank.reference import bound

# The logarithm of a pair's error, and how many items a term must stand for to be worth its trouble.
_DIGITS = 24.0
_ITEMS_A_TERM = 3
# In temperatures: narrower lists count as that wide; in wider ones a term is never worth it.
_NARROWEST, _WIDEST = 0.5, 1e6
_TILE_ELEMENTS = 1 << 19


class Smooth(NamedTuple):
    """Lists scaled to [-1, 1], and what a polynomial in that range needs."""

    values: Tensor  # [lists, n] float64, 0 where masked
    real: Tensor  # [lists, n] float64, 1 = a real item, else 0
    reach: float  # half the range, in temperatures
    terms: int


def choose(values: Tensor, mask: Tensor | None, temperature: float) -> Smooth | None:
    """Float32 lists ``[lists, n]`` scaled; None where a polynomial needs so many terms that pairs are cheaper."""
    if values.dtype != torch.float32:
        return None
    limit = bound(values.dtype)
    keys = values.detach().nan_to_num(nan=0.0).clamp_(-limit, limit)
    high, low = (keys, keys) if mask is None else (keys.masked_fill(~mask, -limit), keys.masked_fill(~mask, limit))
    high, low = high.amax(dim=1, keepdim=True).double(), low.amin(dim=1, keepdim=True).double()
    reach = max(float((high - low).amax()) / (2 * temperature), _NARROWEST)
    if reach > _WIDEST:
        return None
    # A whole number of eighths, so that batches share their coefficients.
    reach = ceil(8 * reach) / 8
    terms = ceil(_DIGITS / asinh(pi / reach)) + 2
    if terms * _ITEMS_A_TERM > values.shape[1]:
        return None
    scaled = keys.double().sub_(high.add(low).div_(2)).div_(temperature * reach)
    if mask is None:
        return Smooth(scaled, torch.ones_like(scaled), reach, terms)
    return Smooth(scaled.masked_fill_(~mask, 0.0), mask.to(scaled.dtype), reach, terms)


def forward(lists: Smooth) -> Tensor:
    """Ranks ``[lists, n]`` float64; those of masked items mean nothing."""
    return _sums(lists, lists.real.unsqueeze(1), slopes=False).squeeze(1).add_(0.5)


def backward(lists: Smooth, upstream: Tensor) -> Tensor:
    """``sum_j slope_ij (upstream_j - upstream_i)`` of each item, float64; upstream is 0 where masked."""
    pulls, total = _sums(lists, torch.stack([upstream, lists.real], dim=1), slopes=True).unbind(1)
    return pulls.addcmul_(upstream, total, value=-1)


def _sums(lists: Smooth, masses: Tensor, *, slopes: bool) -> Tensor:
    """At each item the sum over all items of a pair's sigmoid, or its slope, times a mass, ``[lists, masses, n]``."""
    count, kinds, n = masses.shape
    result = torch.empty_like(masses)
    coefficients = _coefficients(lists.reach, lists.terms, slopes=slopes)
    # Some lists, or one and the stretches of its items, that are looked at together.
    most = max(1, _TILE_ELEMENTS // lists.terms)
    step = max(1, most // n)
    parts = [slice(start, min(start + most, n)) for start in range(0, n, most)]
    buffer = masses.new_empty(min(step, count) * lists.terms * min(most, n))
    for start in range(0, count, step):
        values, own = lists.values[start : start + step], masses[start : start + step]
        moments = masses.new_zeros(len(own), kinds, lists.terms)
        basis = None
        for part in parts:
            basis = _basis(values[:, part], lists.terms, buffer)
            moments.baddbmm_(own[:, :, part], basis.transpose(1, 2))
        moments = moments @ coefficients
        for part in parts:
            basis = basis if basis is not None and len(parts) == 1 else _basis(values[:, part], lists.terms, buffer)
            result[start : start + step, :, part] = torch.bmm(moments, basis)
    return result


def _basis(x: Tensor, terms: int, buffer: Tensor) -> Tensor:
    """Chebyshev's polynomials of ``x [lists, items]``, ``[lists, terms, items]``, in memory that is there already.

    By ``T_2k = 2 T_k^2 - 1`` and ``T_(2k + 1) = 2 T_k T_(k + 1) - x``, twice as many at a step.
    """
    basis = buffer[: x.numel() * terms].view(len(x), terms, x.shape[1])
    basis[:, 0], basis[:, 1] = 1.0, x
    one, minus_x = x.new_full((1, 1, 1), -1.0), x.neg().unsqueeze(1)
    last = 1
    while last < terms - 1:
        known, last = last, min(2 * last, terms - 1)
        for first, addend in ((known + 1, one if known % 2 else minus_x), (known + 2, minus_x if known % 2 else one)):
            new = basis[:, first : last + 1 : 2]
            if new.shape[1]:
                low = basis[:, first // 2 : first // 2 + new.shape[1]]
                high = basis[:, (first + 1) // 2 : (first + 1) // 2 + new.shape[1]]
                torch.addcmul(addend, low, high, value=2.0, out=new)
    return basis


@lru_cache(maxsize=64)
def _coefficients(reach: float, terms: int, *, slopes: bool) -> Tensor:
    """``[j, i]``: the coefficient of ``T_j(x_j) T_i(x_i)`` in ``sigmoid(reach (x_j - x_i))``, or in its slope."""
    angles = torch.arange(1, 2 * terms, 2, dtype=torch.float64) * (pi / (2 * terms))
    places = angles.cos().mul_(reach)
    pairs = (places.unsqueeze(1) - places).sigmoid_()
    if slopes:
        pairs = pairs * pairs.T
    transform = (torch.arange(terms, dtype=torch.float64).unsqueeze(1) * angles).cos_().mul_(2 / terms)
    transform[0] /= 2
    return transform @ pairs @ transform.T
