"""Gains of labels and what their best order is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.losses._lists import Lists
from rankgrad.metrics._order import descending
from rankgrad.metrics.conventions import Gain, gains


def gains_of(lists: Lists, gain: Gain) -> Tensor:
    """What labels are worth; 0 at masked items.

    Raises:
        InputError: for an unknown gain, and on a CPU for labels whose gain is no finite number.
    """
    return gains(lists.labels, gain).masked_fill(~lists.mask, 0.0)


def discounts(count: int, like: Tensor) -> Tensor:
    """``1 / log2(1 + rank)`` of the ranks 1 to ``count``."""
    return 1 / torch.arange(2, count + 2, device=like.device, dtype=like.dtype).log2()


def ideal_dcg(gains: Tensor, k: int | None) -> Tensor:
    """The discounted gain of the best order, ``[..., 1]``.

    Example:
        >>> ideal_dcg(torch.tensor([0.0, 3.0, 1.0]), None)
        tensor([3.6309])
    """
    best = descending(gains, k)
    return (best * discounts(best.shape[-1], best)).sum(dim=-1, keepdim=True)


def normalised(gains: Tensor, k: int | None) -> Tensor:
    """Gains over the ideal discounted gain; 0 throughout a list that has none."""
    ideal = ideal_dcg(gains, k)
    return gains / ideal.masked_fill(ideal == 0, 1.0)


def check_cut(k: int | None) -> None:
    """Refuse a cut-off below 1."""
    if k is not None and k < 1:
        raise InputError(f"k: expected a cut-off of at least 1, or None for the whole list, got {k}")
