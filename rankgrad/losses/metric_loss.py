"""Any metric as a loss."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists, refuse_item_weights
from rankgrad.ops import RankFunction
from rankgrad.ops.masked import Reduction


class Metric(Protocol):
    """A function or module of :mod:`rankgrad.metrics`, its options bound."""

    def __call__(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, /, *, ranker: RankFunction
    ) -> Tensor: ...


def metric_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    metric: Metric,
    ranker: RankFunction,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus a metric of soft ranks.

    ``1 - metric(scores, labels, mask, ranker=ranker)``: with :func:`rankgrad.ops.soft_rank` for a ranker it falls as
    the metric rises. Lists without a positive label do not count.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        metric: for example ``NDCG(k=10)``.
        ranker: soft ranks, for example ``SoftRank(temperature=0.1)``; hard ranks give no gradient.
        weights: of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[...]`` -> ``[]``, or ``[...]`` with ``"none"``; float32
        (float64 for float64).

    Raises:
        InputError: for shapes that do not fit or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Qin, Liu, Li: A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 13, 2010. One signature for metrics and their losses: rax (Jagerman et al., KDD 2022).

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from rankgrad.metrics import reciprocal_rank
        >>> from rankgrad.ops import soft_rank
        >>> ranker = partial(soft_rank, temperature=0.01)
        >>> metric_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]), metric=reciprocal_rank, ranker=ranker)
        tensor(0.5000)
    """
    lists = prepare(scores, labels, mask, weights)
    refuse_item_weights(lists)
    losses = 1 - metric(lists.scores, lists.labels, lists.mask, ranker=ranker)
    return reduce_lists(losses, (lists.labels > 0).any(dim=-1), lists, reduction)


class MetricLoss(nn.Module):
    """:func:`metric_loss` with its options held.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from rankgrad.metrics import NDCG
        >>> from rankgrad.ops import soft_rank
        >>> loss = MetricLoss(NDCG(k=10), ranker=partial(soft_rank, temperature=0.01))
        >>> loss(torch.tensor([2.0, 1.0]), torch.tensor([1, 0]))
        tensor(0.)
    """

    # A configuration file can name a module's class, which the protocols alone do not say.
    def __init__(
        self, metric: nn.Module | Metric, *, ranker: nn.Module | RankFunction, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        self.metric, self.ranker = metric, ranker
        self.reduction: Reduction = reduction

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return metric_loss(
            scores,
            labels,
            mask,
            metric=self.metric,
            ranker=self.ranker,
            weights=weights,
            reduction=self.reduction,
        )
