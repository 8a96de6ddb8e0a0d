"""Sparse weights of the highest k."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._bounded import BoundedLists, bounded, marked

# Beyond these the temperature or its inverse would leave float32.
_LEAST, _MOST = 1e-37, 1e37


def weights(x: Tensor, mask: Tensor | None, k: float, temperature: float, *, p: float = 4 / 3) -> Tensor:
    """Weights in [0, 1] that sum to k: ``argmax_w sum_i x_i w_i - temperature / p sum_i w_i^p``.

    ``w_i = clamp((x_i - t) / temperature, 0, 1)^(1 / (p - 1))``, t being such that they sum to k: between the k-th
    highest value and ``temperature`` below it, where it is found by halving, to the last digit by a step of Newton's.
    The gradient is exact: with ``D_i = dw_i/dx_i`` at fixed t and g the upstream gradient, ``D_i (g_i - sum_j D_j g_j /
    sum_j D_j)``. ``docs/ops/top_k.md`` derives it. With p = 2 it is the projection of ``x / temperature`` on all such
    weights, the isotonic top-k; with p = 4/3 the weights change smoothly.

    They are exactly those of the hard top-k, with zero gradient, where the k-th highest value exceeds the next by
    ``temperature`` or more. Items that far from the threshold have zero gradient at any time. As the temperature grows
    all weights tend to k / n. Equal values have equal weights. Time is O(n log k), memory O(n).

    Args:
        x: the values. Infinite ones lie beyond all finite ones and take no gradient.
        mask: True = a real item; masked items get weight 0 and zero gradient, and count for nobody.
        k: how many, not necessarily a whole number; from as many as a list's real items on, all of these get 1.
        temperature: softness, in the units of ``x``; above 0.
        p: above 1 and at most 2.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The weights; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for a p out of its range, or k below 0.

    Reference:
        Sander, Puigcerver, Djolonga, Peyré, Blondel: Fast, differentiable and sparse top-k: a convex analysis
        perspective, ICML 2023.

    Example:
        >>> x = torch.tensor([2.0, 1.5, 0.0])
        >>> weights(x, None, 1, 1.0, p=2), weights(x, None, 1, 1.0)
        (tensor([0.7500, 0.2500, 0.0000]), tensor([0.8993, 0.1007, 0.0000]))
    """
    if not 1 < p <= 2:
        raise InputError(f"p: expected a number above 1 and at most 2, got {p}")
    check_k(k)
    lists = bounded(x, mask)
    values, items = lists.values, x.shape[-1]
    if not items or k == 0 or k >= items:
        return chosen(values * 0.0, lists, k)
    power = 1 / (p - 1)
    power = round(power) if math.isclose(power, round(power)) else power
    distances, top = _from_the_last(lists, math.ceil(k), min(max(temperature, _LEAST), _MOST))
    surplus = k - math.ceil(k)
    high = _enclosed(distances.detach(), top, surplus, power)
    ends = (distances.detach() + high).clamp(0.0, 1.0)
    # What has just reached 1 stays there: a clear choice leaves the level free to rise further.
    between = (ends > 0) & (ends < 1)

    def raised(level: Tensor) -> Tensor:
        return torch.where(between, (distances + level).clamp(0.0, 1.0), ends).pow(power)

    excess = (raised(high) - top).sum(dim=-1, keepdim=True) - surplus
    steepness = (power * ends.pow(power - 1)).masked_fill(~between, 0.0).sum(dim=-1, keepdim=True)
    # The step carries the gradient: by the implicit function theorem it is that of the threshold.
    step = torch.where(steepness > 0, excess / steepness.where(steepness > 0, 1.0), 0.0)
    return chosen(raised(high - step), lists, k)


def check_k(k: float) -> None:
    """Refuse a negative number and NaN.

    Example:
        >>> check_k(-1)
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: k: expected a number of at least 0, got -1
    """
    if not k >= 0:
        raise InputError(f"k: expected a number of at least 0, got {k}")


def chosen(found: Tensor, lists: BoundedLists, k: float) -> Tensor:
    """``found``, and 1 at all real items of lists that have no more than k."""
    everybody = (lists.real.sum(dim=-1, keepdim=True) <= k) & lists.real
    return marked(found.masked_fill(everybody, 1.0), lists)


def _from_the_last(lists: BoundedLists, whole: int, temperature: float) -> tuple[Tensor, Tensor]:
    """How far, in temperatures, values are above the last of the top ``whole``, and 1 at these, 0 elsewhere."""
    values, real = lists.values, lists.real
    found = values.detach().masked_fill(~real, float("-inf")).topk(whole, dim=-1)
    top = torch.zeros_like(values).scatter(-1, found.indices, 1.0)
    last = real.sum(dim=-1, keepdim=True).clamp(1, whole) - 1
    edge = values.detach().gather(-1, found.indices.gather(-1, last))
    return ((values - edge) / temperature).masked_fill(~real, -2.0), top


def _enclosed(distances: Tensor, top: Tensor, surplus: float, power: float) -> Tensor:
    """The level, to the last digit but one, from which on ``clamp(distances + level, 0, 1)^power`` sum to k.

    Sums are taken of deviations from the hard choice, in which the weights near 0 and 1 keep their digits.
    """
    low = torch.zeros_like(distances[..., :1])
    high = torch.ones_like(low)
    for _ in range(28 if distances.dtype == torch.float32 else 56):
        middle = (low + high) / 2
        excess = ((distances + middle).clamp(0.0, 1.0).pow(power) - top).sum(dim=-1, keepdim=True)
        enough = excess >= surplus
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high
