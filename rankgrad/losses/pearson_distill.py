"""Distillation by correlation."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._correlation import correlation
from rankgrad.losses._lists import labels_differ, prepare, reduce_lists, refuse_item_weights
from rankgrad.ops.masked import Reduction


def pearson_distill_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus Pearson's correlation of the scores with a teacher's.

    It depends neither on the teacher's scale nor on its offset. Lists of fewer than two real items, or whose teacher's
    scores are all equal, do not count; equal scores of the student have correlation 0 and no gradient.

    Args:
        scores: higher is better.
        labels: the teacher's scores.
        mask: True = a real item.
        weights: of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Huang et al.: Knowledge distillation from a stronger teacher, NeurIPS 2022.

    Example:
        >>> import torch
        >>> pearson_distill_loss(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 30.0, 20.0]))
        tensor(0.5000)
    """
    lists = prepare(scores, labels, mask, weights)
    refuse_item_weights(lists)
    losses = 1 - correlation(lists.scores, lists.labels, lists.mask)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


class PearsonDistillLoss(nn.Module):
    """:func:`pearson_distill_loss` with its options held.

    Example:
        >>> import torch
        >>> PearsonDistillLoss()(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 1.0, 2.0]))
        tensor(1.5000)
    """

    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.loss = partial(
            pearson_distill_loss,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
