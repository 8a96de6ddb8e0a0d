"""Pointwise cross-entropy."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._lists import prepare, readable, reduce_lists
from rankgrad.ops import masked_mean
from rankgrad.ops.masked import Reduction

_LIMIT = 2.0**100


def pointwise_bce_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean binary cross-entropy of each item's probability of relevance, the sigmoid of its score.

    ``mean_i -(y_i log sigmoid(s_i) + (1 - y_i) log sigmoid(-s_i))`` over the real items. Lists without a real item do
    not count.

    Args:
        scores: higher is better.
        labels: probability of relevance, from 0 to 1; divide grades by the highest.
        mask: True = a real item.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight, and on a CPU for labels outside 0 to 1.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Cooper, Gey, Dabney: Probabilistic retrieval based on staged logistic regression, SIGIR 1992.

    Example:
        >>> import torch
        >>> pointwise_bce_loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """
    lists = prepare(scores, labels, mask, weights)
    if readable(lists.labels) and bool(((lists.labels < 0) | (lists.labels > 1)).any()):
        raise InputError("labels: expected probabilities from 0 to 1, got some outside; divide grades by the highest")
    # Finite for infinite scores too where they are right: 0 * inf would be NaN.
    logits = lists.scores.clamp(-_LIMIT, _LIMIT)
    losses = nn.functional.softplus(logits) - lists.labels * logits
    return reduce_lists(masked_mean(lists.weighted(losses), lists.mask), lists.mask.any(dim=-1), lists, reduction)


class PointwiseBCELoss(nn.Module):
    """:func:`pointwise_bce_loss` with its options held.

    Example:
        >>> import torch
        >>> PointwiseBCELoss()(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.loss = partial(
            pointwise_bce_loss,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
