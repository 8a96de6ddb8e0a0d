"""What libraries mean by the same name: gains, ties, and lists with nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.metrics._lists import Empty
from rankgrad.metrics._ranked import Ties
from rankgrad.ops._order import readable

Gain: TypeAlias = Literal["linear", "exp2"] | Callable[[Tensor], Tensor]
"""What a label is worth: itself, 2 to its power less 1, or what a function makes of it (of 0, the padding, 0)."""


class BinaryOptions(TypedDict):
    """The options of metrics that ask whether an item is relevant."""

    ties: Ties
    empty: Empty


class GradedOptions(BinaryOptions):
    """The options of metrics that ask how relevant an item is."""

    gain: Gain


@dataclass(frozen=True)
class Convention:
    """One library's rules.

    Args:
        gain: what a label is worth.
        ties: who of equal scores ranks first.
        empty: the value of a list with nothing to find.

    Example:
        >>> from rankgrad.metrics import LIGHTGBM, NDCG, AveragePrecision
        >>> NDCG(k=10, **LIGHTGBM.graded).name, AveragePrecision(**LIGHTGBM.binary).name
        ('nDCG@10', 'MAP')
    """

    gain: Gain
    ties: Ties
    empty: Empty

    @property
    def graded(self) -> GradedOptions:
        """Keyword arguments of ``ndcg`` and ``NDCG``."""
        return {"gain": self.gain, "ties": self.ties, "empty": self.empty}

    @property
    def binary(self) -> BinaryOptions:
        """Keyword arguments of ``average_precision``, ``recall`` and their like."""
        return {"ties": self.ties, "empty": self.empty}


TREC = Convention("linear", "trec", 0.0)
"""trec_eval: linear gains, of equal scores the greatest document id first, 0 for a query without relevant documents."""

RAX = Convention("exp2", "stable", 0.0)
"""Rax: gains of ``2^y - 1``, ties by position, 0 for an empty list."""

SKLEARN = Convention("linear", "average", 0.0)
"""scikit-learn's ``ndcg_score``: linear gains, tied items share their discounts, 0 for an empty list."""

LIGHTGBM = Convention("exp2", "stable", 1.0)
"""LightGBM's ``ndcg`` and ``map``: gains of ``2^y - 1``, ties by position, 1 for an empty list."""


def gains(labels: Tensor, gain: Gain) -> Tensor:
    """What labels are worth; negative ones nothing.

    Raises:
        InputError: for an unknown gain, and on a CPU for labels whose gain is no finite number.

    Example:
        >>> gains(torch.tensor([2.0, 0.0, -1.0]), "exp2")
        tensor([3., 0., 0.])
    """
    if gain == "linear":
        return labels.clamp(min=0.0)
    if callable(gain):
        worth = gain(labels)
    elif gain == "exp2":
        worth = torch.exp2(labels.clamp(min=0.0)) - 1
    else:
        raise InputError(f'gain: expected "linear", "exp2" or a function of labels, got {gain!r}')
    # On a GPU the look would wait for it.
    if readable(worth) and worth.numel() and not torch.isfinite(worth.sum()) and not torch.isfinite(worth).all():
        raise InputError(
            f"labels: up to {float(labels.max()):g}, whose gain is no finite {str(worth.dtype).split('.')[-1]}: "
            f'scale them down, or take gain="linear"'
        )
    return worth
