"""Laplace ranks, thresholds and selections by their definition."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate
from rankgrad.ops.laplace.lists import in_order, mark, sorting_keys
from rankgrad.ops.laplace.solution import Solution, knots, solve
from rankgrad.ops.pairwise_rank.reference import bound

# Where nothing lies near a threshold it jumps with the count; its slope is cut to what stays finite.
_LEAST_SUM = 1e-30
# Distances over the temperature stay finite, so that 0 times one is 0.
_FARTHEST = 1e30


def distribution(z: Tensor) -> Tensor:
    """The Laplace distribution function: ``exp(z) / 2`` below 0, ``1 - exp(-z) / 2`` above.

    Example:
        >>> distribution(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.1839, 0.5000, 0.8161])
    """
    return torch.where(z > 0, 1 - (-z.clamp(min=0)).exp() / 2, z.clamp(max=0).exp() / 2)


def ranks(values: Tensor, mask: Tensor | None, temperature: float) -> Tensor:
    """Ranks ``[..., n]``, 1 = highest, 0 where masked; the n x n matrix is held.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1)
        tensor([1.0000, 2.5000, 2.5000])
    """
    others = own = _bounded(values)
    if mask is not None:
        others, own = others.masked_fill(~mask, float("-inf")), own.masked_fill(~mask, 0.0)
    above = distribution((others.unsqueeze(-2) - own.unsqueeze(-1)) / temperature)
    result = 0.5 + above.sum(dim=-1)
    return result if mask is None else result.masked_fill(~mask, 0.0)


def thresholds(values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor) -> Tensor:
    """Thresholds ``[..., m]`` of ``counts [..., m]``; ``temperature [..., 1]``. n x n and m x n matrices are held."""
    found = _solve(values, mask, counts, temperature)
    x = _bounded(values)
    if mask is not None:
        x = x.masked_fill(~mask, 0.0)
    fixed, still = x.detach().unsqueeze(-2), temperature.detach()
    away = (fixed - found.anchor.unsqueeze(-1)) / still.unsqueeze(-1) - found.offset.unsqueeze(-1)
    away = away.clamp(-_FARTHEST, _FARTHEST)
    moved = _moved(x.unsqueeze(-2), away, mask, counts.unsqueeze(-1), temperature.unsqueeze(-1)).squeeze(-1)
    result = found.value(still) + moved.where(found.inside, 0.0)
    real = torch.ones_like(values, dtype=torch.bool) if mask is None else mask
    result = result.masked_fill(~real.any(dim=-1, keepdim=True), 0.0)
    return result.masked_fill((values.isnan() & real).any(dim=-1, keepdim=True), float("nan"))


def weights(values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor) -> Tensor:
    """Weights ``[..., n]`` that sum to ``counts [..., 1]``; ``temperature [..., 1]``. An n x n matrix is held."""
    found = _solve(values, mask, counts, temperature)
    x = _bounded(values)
    if mask is not None:
        x = x.masked_fill(~mask, 0.0)
    away = ((x.detach() - found.anchor) / temperature.detach() - found.offset).clamp(-_FARTHEST, _FARTHEST)
    moved = _moved(x, away, mask, counts, temperature)
    # The distances of today with the derivatives of (x - threshold) / temperature.
    change = (_change(x) - moved - away * _change(temperature)) / temperature.detach()
    inside = distribution(away + change)
    beyond = (counts > 0).to(inside.dtype).expand_as(inside)
    return mark(torch.where(found.inside, inside, beyond), values, mask)


def _moved(x: Tensor, away: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor) -> Tensor:
    """0 with the first derivatives of a threshold: a softmax of distances ``away`` along the last axis, kept."""
    distance = away.abs()
    if mask is not None:
        distance = distance.masked_fill(~(mask if distance.dim() == mask.dim() else mask.unsqueeze(-2)), float("inf"))
    # A list without a real item has a threshold of no meaning, which must not breed NaN.
    alone = distance.isinf().all(dim=-1, keepdim=True)
    shares = (-distance).masked_fill(alone, 0.0).softmax(dim=-1)
    total = (-distance).exp().sum(dim=-1, keepdim=True).clamp(min=_LEAST_SUM)
    by_temperature = -(shares * away).sum(dim=-1, keepdim=True)
    by_counts = -2 * temperature.detach() / total
    moved = (shares * _change(x)).sum(dim=-1, keepdim=True)
    return moved + by_temperature * _change(temperature) + by_counts * _change(counts)


def _change(x: Tensor) -> Tensor:
    """0 with derivative 1."""
    return x - x.detach()


def _bounded(values: Tensor) -> Tensor:
    values = accumulate(values, "values")
    limit = bound(values.dtype)
    return values.clamp(-limit, limit)


@torch.no_grad()
def _solve(values: Tensor, mask: Tensor | None, counts: Tensor, temperature: Tensor) -> Solution:
    # ONNX has no stable sort; the order of equal values does not matter.
    order = sorting_keys(values, mask).sort(dim=-1, descending=True).indices
    lists = in_order(values, mask, temperature, order, accumulate(values, "values").dtype)
    apart = (lists.points.unsqueeze(-2) - lists.points.unsqueeze(-1)).abs()
    near = (-apart / lists.temperature.unsqueeze(-1)).exp()
    if lists.real is not None:
        near = near.masked_fill(~lists.real.unsqueeze(-2), 0.0)
    up, down = near.tril(-1).sum(dim=-1), near.triu(1).sum(dim=-1)
    place = (knots(lists, up, down).unsqueeze(-2) <= counts.unsqueeze(-1)).sum(dim=-1)
    return solve(lists, lists.factors(), up, down, counts, place)
