"""Losses of the pairs that labels order."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.losses._lists import Lists, lower_counts
from rankgrad.ops.pairwise_loss import PairOptions, pairwise_losses


def over_pairs(lists: Lists, options: PairOptions, pairs: Literal["mean", "sum"]) -> tuple[Tensor, Tensor]:
    """(sum or mean over the pairs of each list, those with any)."""
    if pairs not in ("mean", "sum"):
        raise InputError(f'pairs: expected "mean" or "sum", got {pairs!r}')
    losses = pairwise_losses(lists.scores, lists.labels, lists.mask, weights=lists.weights, options=options)
    count = lower_counts(lists.labels, lists.mask).sum(dim=-1)
    return losses / count.clamp(min=1) if pairs == "mean" else losses, count > 0
