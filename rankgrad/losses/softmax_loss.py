"""Listwise softmax cross-entropy."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.losses._targets import target_cross_entropy
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def softmax_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy between a list's labels, scaled to sum to 1, and the softmax of its scores.

    ``-sum_i p_i log softmax(s / temperature)_i`` with ``p_i = y_i / sum_j y_j``. It is ListNet's top-one cross-entropy
    with labels as probabilities in place of their softmax, which :func:`kl_distill_loss` takes. Lists without a
    positive label do not count.

    Args:
        scores: higher is better.
        labels: relevance; negative labels count as 0.
        mask: True = a real item.
        temperature: divides the scores.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Cao et al.: Learning to rank: from pairwise approach to listwise approach, ICML 2007.

    Example:
        >>> import torch
        >>> softmax_loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    losses, _, counts = target_cross_entropy(lists, temperature)
    return reduce_lists(losses, counts, lists, reduction)


class SoftmaxLoss(nn.Module):
    """:func:`softmax_loss` with its options held.

    Example:
        >>> import torch
        >>> SoftmaxLoss(temperature=0.5)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            softmax_loss,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
