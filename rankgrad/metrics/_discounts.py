"""The logarithmic discount, and the gain of an ideal order under it."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.metrics._lists import cut_weights
from rankgrad.metrics._order import descending
from rankgrad.metrics.conventions import Gain, gains


def log_discounts(ranks: Tensor, k: int | None, temperature: float | None) -> Tensor:
    """``c(r) / log2(1 + r)`` of positive ranks, with the cut ``c``."""
    return cut_weights(ranks, k, temperature) / torch.log2(1 + ranks)


def ideal_dcg(labels: Tensor, gain: Gain, k: int | None) -> Tensor:
    """Discounted sum of the k highest gains, in descending order.

    Example:
        >>> ideal_dcg(torch.tensor([0.0, 1.0, 2.0]), "exp2", 1)
        tensor(3.)
    """
    # A gain that never falls as labels rise is wanted of the first k only.
    ideal = descending(gains(labels, gain), k) if callable(gain) else gains(descending(labels, k), gain)
    places = torch.arange(1, ideal.shape[-1] + 1, device=ideal.device, dtype=ideal.dtype)
    return (ideal / torch.log2(1 + places)).sum(dim=-1)
