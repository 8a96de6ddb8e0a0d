"""ApproxMRR."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses.metric_loss import metric_loss
from rankgrad.metrics import reciprocal_rank
from rankgrad.ops import soft_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def approx_mrr_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus the reciprocal rank of sigmoid soft ranks.

    :func:`metric_loss` of :func:`rankgrad.metrics.reciprocal_rank`. Lists without a positive label do not count.

    Args:
        scores: higher is better.
        labels: relevant from 1 up.
        mask: True = a real item.
        temperature: of the soft ranks, in the units of the scores.
        weights: of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Qin, Liu, Li: A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 13, 2010.

    Example:
        >>> import torch
        >>> approx_mrr_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]), temperature=0.01)
        tensor(0.5000)
    """
    ranker = partial(soft_rank, temperature=temperature)
    return metric_loss(
        scores, labels, mask, metric=reciprocal_rank, ranker=ranker, weights=weights, reduction=reduction
    )


class ApproxMRR(nn.Module):
    """:func:`approx_mrr_loss` with its options held.

    Example:
        >>> import torch
        >>> ApproxMRR(temperature=0.01)(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
        tensor(0.5000)
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            approx_mrr_loss,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
