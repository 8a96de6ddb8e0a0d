"""Ordinal regression with thresholds between grades."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._lists import bounded, prepare, readable, reduce_lists
from rankgrad.ops import masked_mean
from rankgrad.ops._arguments import check_device
from rankgrad.ops.masked import Reduction


def ordinal_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    thresholds: Tensor,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean cross-entropy of each item being of each grade or higher, by how far its score is above a threshold.

    ``mean_i w_i sum_g -log sigmoid(z_ig (s_i - b_g))`` over the real items and the grades g = 1, 2, ... with thresholds
    b, where z is 1 for items with a label of g or more, else -1. Lists without a real item do not count.

    Args:
        scores: higher is better.
        labels: grades from 0 to the number of thresholds.
        mask: True = a real item.
        thresholds: ``b_1, b_2, ...``, which may be learnt.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, thresholds ``[grades]``, weights ``[..., items]`` or ``[...]`` -> ``[]``,
        or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, no threshold or a negative weight, and on a CPU for a label above the
            grades.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Rennie, Srebro: Loss functions for preference levels: regression with discrete ordered labels, IJCAI workshop
        2005 (all thresholds).

    Example:
        >>> ordinal_loss(torch.tensor([0.0, 0.0]), torch.tensor([2, 0]), thresholds=torch.tensor([0.0, 0.0]))
        tensor(1.3863)
    """
    if thresholds.dim() != 1 or not thresholds.numel():
        raise InputError(f"thresholds: expected shape [grades], got {list(thresholds.shape)}")
    lists = prepare(scores, labels, mask, weights)
    check_device(thresholds, "thresholds", scores, "scores")
    if readable(lists.labels) and lists.labels.numel() and float(lists.labels.max()) > len(thresholds):
        highest = float(lists.labels.max())
        raise InputError(f"labels: expected grades from 0 to {len(thresholds)}, one a threshold, got {highest}")
    grades = torch.arange(1, len(thresholds) + 1, device=lists.labels.device)
    reached = (lists.labels.unsqueeze(-1) >= grades).to(lists.scores.dtype) * 2 - 1
    above = bounded(lists.scores).unsqueeze(-1) - thresholds.to(lists.scores.dtype)
    losses = nn.functional.softplus(-reached * above).sum(dim=-1)
    return reduce_lists(masked_mean(lists.weighted(losses), lists.mask), lists.mask.any(dim=-1), lists, reduction)


class OrdinalLoss(nn.Module):
    """:func:`ordinal_loss` with thresholds that are parameters, at first 1 apart and centred on 0.

    They are learnt where the optimiser is given this module's parameters too.

    Example:
        >>> OrdinalLoss(grades=2)(torch.tensor([0.5, -0.5]), torch.tensor([2, 0]))
        tensor(1.0064, grad_fn=<DivBackward0>)
    """

    def __init__(self, *, grades: int, reduction: Reduction = "mean") -> None:
        super().__init__()
        if grades < 1:
            raise InputError(f"grades: expected at least 1 above 0, got {grades}")
        self.thresholds = nn.Parameter(torch.arange(grades, dtype=torch.float32) - (grades - 1) / 2)
        self.loss = partial(ordinal_loss, reduction=reduction)

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, thresholds=self.thresholds, weights=weights)
