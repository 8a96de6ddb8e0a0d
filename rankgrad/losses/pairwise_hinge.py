"""Hinge loss of pairs."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.losses._pairs import over_pairs
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction
from rankgrad.ops.pairwise_loss import PairOptions


def pairwise_hinge_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    margin: float = 1.0,
    pairs: Literal["mean", "sum"] = "mean",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """How far each item falls short of leading the items of lower labels by a margin.

    ``mean_{y_i > y_j} w_i max(0, margin - (s_i - s_j))``. Pairs of equal labels do not count, nor do lists without a
    pair. No n x n tensor is held.

    Args:
        scores: higher is better.
        labels: graded relevance, or a teacher's scores.
        mask: True = a real item.
        margin: the lead that costs nothing, in the units of the scores.
        pairs: ``"mean"`` over the pairs of each list, or ``"sum"``.
        weights: of items, for the pairs that prefer it, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Herbrich, Graepel, Obermayer: Large margin rank boundaries for ordinal regression, in Advances in large margin
        classifiers, 2000. Joachims: Optimizing search engines using clickthrough data, KDD 2002.

    Example:
        >>> import torch
        >>> pairwise_hinge_loss(torch.tensor([1.0, 0.5]), torch.tensor([1, 0]))
        tensor(0.5000)
    """
    check_positive(margin, "margin")
    lists = prepare(scores, labels, mask, weights)
    losses, counts = over_pairs(lists, PairOptions(link="hinge", margin=margin), pairs)
    return reduce_lists(losses, counts, lists, reduction)


class PairwiseHingeLoss(nn.Module):
    """:func:`pairwise_hinge_loss` with its options held.

    Example:
        >>> import torch
        >>> PairwiseHingeLoss(margin=2.0)(torch.tensor([1.0, 0.5]), torch.tensor([1, 0]))
        tensor(1.5000)
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        pairs: Literal["mean", "sum"] = "mean",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(margin, "margin")
        self.loss = partial(
            pairwise_hinge_loss,
            margin=margin,
            pairs=pairs,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
