"""What the losses share: checked operands, weights, the reduction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.ops import safe_reduce
from rankgrad.ops._arguments import accumulate, check_device, real_items
from rankgrad.ops.masked import Reduction


class Lists(NamedTuple):
    """A loss's operands in the scores' accumulation dtype, 0 at masked items."""

    scores: Tensor  # [..., items]
    labels: Tensor  # [..., items]
    mask: Tensor  # [..., items]
    weights: Tensor | None  # [..., items], of items
    list_weights: Tensor | None  # [...]

    def weighted(self, terms: Tensor) -> Tensor:
        """One term an item, times the item's weight."""
        return terms if self.weights is None else terms * self.weights


def prepare(scores: Tensor, labels: Tensor, mask: Tensor | None, weights: Tensor | None = None) -> Lists:
    """Check and convert what every loss takes.

    Raises:
        InputError: for labels, a mask or weights that do not fit the scores or are on another device, and for a weight
            below 0.
        TypeError: for scores that are not floating point or a mask that is not bool.
    """
    given, mask = mask is not None, real_items(scores, mask)
    if labels.shape != scores.shape:
        raise InputError(f"labels: expected the shape of scores {list(scores.shape)}, got {list(labels.shape)}")
    check_device(labels, "labels", scores, "scores")
    scores = accumulate(scores, "scores")
    labels = labels.to(scores.dtype)
    if given:
        scores, labels = scores.masked_fill(~mask, 0.0), labels.masked_fill(~mask, 0.0)
    wide = scores, labels, mask
    if weights is None:
        return Lists(*wide, None, None)
    check_device(weights, "weights", scores, "scores")
    if weights.shape == scores.shape:
        weights = weights.to(scores.dtype).masked_fill(~mask, 0.0)
        _refuse_negative(weights)
        return Lists(*wide, weights, None)
    if weights.shape == scores.shape[:-1]:
        weights = weights.to(scores.dtype)
        _refuse_negative(weights)
        return Lists(*wide, None, weights)
    expected = f"{list(scores.shape)} (one an item) or {list(scores.shape[:-1])} (one a list)"
    raise InputError(f"weights: expected shape {expected}, got {list(weights.shape)}")


def reduce_lists(losses: Tensor, counts: Tensor, lists: Lists, reduction: Reduction) -> Tensor:
    """Weigh the losses ``[...]`` of lists and reduce them over those that count; NaN scores make their list's loss NaN.

    The mean divides by how many lists count, not by their weights, so that inverse propensities leave it unbiased.
    """
    losses = losses.masked_fill(lists.scores.isnan().any(dim=-1), float("nan"))
    return safe_reduce(losses if lists.list_weights is None else losses * lists.list_weights, counts, reduction)


def readable(x: Tensor) -> bool:
    """May a check look at values? Not while compiling, and not where the host would have to wait for a device."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def squares(x: Tensor) -> Tensor:
    """Squares whose sums stay finite: beyond 2^50 (2^500 in float64) ``x`` counts as that and takes no gradient."""
    limit = 2.0**500 if x.dtype == torch.float64 else 2.0**50
    return x.clamp(-limit, limit).square()


def bounded(scores: Tensor) -> Tensor:
    """Scores cut to 2^100 (2^1000 in float64), so that differences and their sums stay finite; NaN stays."""
    limit = 2.0**1000 if scores.dtype == torch.float64 else 2.0**100
    return scores.clamp(-limit, limit)


def refuse_item_weights(lists: Lists) -> None:
    """For losses that are no sum over items."""
    if lists.weights is not None:
        raise InputError(
            f"weights: expected shape {list(lists.mask.shape[:-1])}, one a list, as this loss is no sum over items"
        )


def labels_differ(lists: Lists) -> Tensor:
    """Which lists have real items of different labels, ``[...]``."""
    labels = lists.labels.detach()
    highest = pad(labels.masked_fill(~lists.mask, float("-inf")), (0, 1), value=float("-inf")).amax(dim=-1)
    lowest = pad(labels.masked_fill(~lists.mask, float("inf")), (0, 1), value=float("inf")).amin(dim=-1)
    return highest > lowest


def lower_counts(values: Tensor, mask: Tensor) -> Tensor:
    """How many real items have a lower value than each; 0 at masked items.

    Example:
        >>> lower_counts(torch.tensor([2.0, 0.0, 2.0, 1.0]), torch.tensor([True, True, True, False]))
        tensor([1, 0, 1, 0])
    """
    values = values.detach().masked_fill(~mask, float("inf"))
    ascending = values.sort(dim=-1).values
    return torch.searchsorted(ascending, values.contiguous()).masked_fill(~mask, 0)


def _refuse_negative(weights: Tensor) -> None:
    if readable(weights) and not bool((weights >= 0).all()):
        raise InputError(f"weights: expected numbers of at least 0, got {float(weights.min())}")
