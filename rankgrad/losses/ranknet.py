"""Logistic loss of pairs."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.losses._pairs import over_pairs
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction
from rankgrad.ops.pairwise_loss import PairOptions


def ranknet_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    sigma: float = 1.0,
    pairs: Literal["mean", "sum"] = "mean",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of each pair's order, its probability being the sigmoid of the scores' difference.

    ``mean_{y_i > y_j} w_i log(1 + exp(-sigma (s_i - s_j)))``, natural logarithm. Pairs of equal labels do not count,
    nor do lists without a pair. No n x n tensor is held. With a teacher's scores for labels it distils the teacher's
    order, as Rank-DistiLLM's RankNet does.

    Args:
        scores: higher is better.
        labels: graded relevance, or a teacher's scores.
        mask: True = a real item.
        sigma: multiplies the scores.
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
        Burges et al.: Learning to rank using gradient descent, ICML 2005. As distillation: Schlatt et al.:
        Rank-DistiLLM, ECIR 2025.

    Example:
        >>> import torch
        >>> ranknet_loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """
    check_positive(sigma, "sigma")
    lists = prepare(scores, labels, mask, weights)
    losses, counts = over_pairs(lists._replace(scores=lists.scores * sigma), PairOptions(), pairs)
    return reduce_lists(losses, counts, lists, reduction)


class RankNetLoss(nn.Module):
    """:func:`ranknet_loss` with its options held.

    Example:
        >>> import torch
        >>> RankNetLoss(sigma=0.5)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        *,
        sigma: float = 1.0,
        pairs: Literal["mean", "sum"] = "mean",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(sigma, "sigma")
        self.loss = partial(
            ranknet_loss,
            sigma=sigma,
            pairs=pairs,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
