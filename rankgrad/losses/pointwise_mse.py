"""Pointwise regression."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists, squares
from rankgrad.ops import masked_mean
from rankgrad.ops.masked import Reduction


def pointwise_mse_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean squared error of each item's score against its label.

    ``mean_i (s_i - y_i)^2`` over the real items. Lists without a real item do not count. Errors beyond 2^50 (2^500 in
    float64) count as that and take no gradient.

    Args:
        scores: higher is better.
        labels: what the scores are to be.
        mask: True = a real item.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Cossock, Zhang: Subset ranking using regression, COLT 2006.

    Example:
        >>> import torch
        >>> pointwise_mse_loss(torch.tensor([3.0, 0.0]), torch.tensor([1, 0]))
        tensor(2.)
    """
    lists = prepare(scores, labels, mask, weights)
    losses = masked_mean(lists.weighted(squares(lists.scores - lists.labels)), lists.mask)
    return reduce_lists(losses, lists.mask.any(dim=-1), lists, reduction)


class PointwiseMSELoss(nn.Module):
    """:func:`pointwise_mse_loss` with its options held.

    Example:
        >>> import torch
        >>> PointwiseMSELoss()(torch.tensor([3.0, 0.0]), torch.tensor([1, 0]))
        tensor(2.)
    """

    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.loss = partial(
            pointwise_mse_loss,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
