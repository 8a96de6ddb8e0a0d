"""Losses of pairs by their definition."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from rankgrad.ops.ranking import hard_rank

Link: TypeAlias = Literal["logistic", "hinge"]
Pairs: TypeAlias = Literal["order", "difference", "each"]


class PairOptions(NamedTuple):
    """How much a pair costs.

    ``link``: ``log(1 + e^-d)``, or ``max(0, margin - d)``, of the difference d of its scores. ``pairs``: a pair (i, j)
    weighs 1 where ``key_i > key_j`` (``"order"``), ``max(0, key_i - key_j)`` (``"difference"``) or ``key_i``
    (``"each"``). Where ``swap`` or ``gap`` is not 0, times ``swap |1/D(r_i) - 1/D(r_j)| + gap (1/D(|r_i - r_j|) -
    1/D(|r_i - r_j| + 1))`` with ``D(r) = log2(1 + r)`` of the hard ranks. ``k``: only pairs of which one item ranks
    within k; 0 = all.
    """

    link: Link = "logistic"
    margin: float = 1.0
    pairs: Pairs = "order"
    swap: float = 0.0
    gap: float = 0.0
    k: int = 0


def bound(dtype: torch.dtype) -> float:
    """What scores are cut to, so that sums over pairs stay finite."""
    return 2.0**1000 if dtype == torch.float64 else 2.0**100


def losses(scores: Tensor, keys: Tensor, mask: Tensor | None, weights: Tensor | None, options: PairOptions) -> Tensor:
    """One value a list; matrices of n x n are held.

    Example:
        >>> scores, keys = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.0, 2.0, 1.0])
        >>> losses(scores, keys, None, None, PairOptions())
        tensor(3.7535)
    """
    real = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    limit = bound(scores.dtype)
    values, keys = scores.masked_fill(~real, 0.0).clamp(-limit, limit), keys.masked_fill(~real, 0.0)
    ranks = hard_rank(values, mask=real)
    difference = values.unsqueeze(-1) - values.unsqueeze(-2)
    preferred = keys.unsqueeze(-1) - keys.unsqueeze(-2)
    if options.pairs == "order":
        amount = (preferred > 0).to(values.dtype) + 0.0 * preferred
    elif options.pairs == "difference":
        amount = preferred.clamp(min=0.0)
    else:
        amount = keys.unsqueeze(-1).expand_as(difference)
    if options.swap or options.gap:
        amount = amount * place_weights(ranks.unsqueeze(-1), ranks.unsqueeze(-2), options)
    if options.k:
        amount = amount.masked_fill(torch.minimum(ranks.unsqueeze(-1), ranks.unsqueeze(-2)) > options.k, 0.0)
    if weights is not None:
        amount = amount * weights.unsqueeze(-1)
    if options.link == "hinge":
        costs = (options.margin - difference).clamp(min=0.0)
    else:
        costs = -torch.nn.functional.logsigmoid(difference)
    counted = real.unsqueeze(-1) & real.unsqueeze(-2) & ~torch.eye(scores.shape[-1], dtype=torch.bool).to(real.device)
    return (amount * costs).masked_fill(~counted, 0.0).sum(dim=(-1, -2))


def place_weights(higher: Tensor, lower: Tensor, options: PairOptions) -> Tensor:
    """What the ranks of a pair's items contribute; 0 for an item with itself.

    Example:
        >>> place_weights(torch.tensor(1.0), torch.tensor([2.0, 3.0]), PairOptions(gap=1.0))
        tensor([0.3691, 0.1309])
    """
    apart = (higher - lower).abs()
    swap = (1 / (1 + higher.clamp(min=1)).log2() - 1 / (1 + lower.clamp(min=1)).log2()).abs()
    gap = 1 / (1 + apart.clamp(min=1)).log2() - 1 / (2 + apart.clamp(min=1)).log2()
    return (options.swap * swap + options.gap * gap).masked_fill(apart == 0, 0.0)
