"""How sure a comparator is, by how far its two values lie apart."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Distribution: TypeAlias = Literal["logistic", "cauchy", "gaussian", "optimal"]
DISTRIBUTIONS: tuple[Distribution, ...] = get_args(Distribution)


def cumulative(v: Tensor, distribution: Distribution) -> Tensor:
    """The share of a difference of v temperatures that the comparator puts in order: 1/2 at 0, 1 far above.

    ``"optimal"`` is ``v + 1/2`` up to 1/4 from 0, and ``1 - 1 / (16 v)`` beyond it, with ``F(-v) = 1 - F(v)``.

    Example:
        >>> cumulative(torch.tensor([-0.5, 0.0, 0.1, 0.25, 4.0]), "optimal")
        tensor([0.1250, 0.5000, 0.6000, 0.7500, 0.9844])
    """
    if distribution == "logistic":
        return v.sigmoid()
    if distribution == "cauchy":
        return v.atan() / math.pi + 0.5
    if distribution == "gaussian":
        return torch.special.ndtr(v)
    near = v.abs() <= 0.25
    # Where it is not taken, the division does not happen, so that its derivative stays finite.
    tail = 1 / (16 * torch.where(near, 1.0, v))
    return torch.where(near, v + 0.5, torch.where(v > 0, 1 - tail, -tail))


def density(v: Tensor, distribution: Distribution) -> Tensor:
    """The derivative of :func:`cumulative`."""
    if distribution == "logistic":
        # Of both sigmoids the smaller one: 1 - sigmoid of the larger would lose its digits.
        share = (-v.abs()).sigmoid()
        return share * (1 - share)
    if distribution == "cauchy":
        return 1 / (math.pi * (1 + v * v))
    if distribution == "gaussian":
        return (v * v / -2).exp() / math.sqrt(2 * math.pi)
    return 1 / (16 * (v * v).clamp(min=1 / 16))
