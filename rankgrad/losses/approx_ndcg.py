"""ApproxNDCG."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses.metric_loss import metric_loss
from rankgrad.metrics import ndcg
from rankgrad.metrics.conventions import Gain
from rankgrad.ops import soft_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def approx_ndcg_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    k: int | None = None,
    gain: Gain = "exp2",
    cut_temperature: float | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus nDCG of sigmoid soft ranks: :func:`metric_loss` of :func:`rankgrad.metrics.ndcg`.

    As published: gain ``2^y - 1`` and whole lists. Lists without a positive label do not count.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        temperature: of the soft ranks, in the units of the scores.
        k: cut-off; None = the whole list.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
        cut_temperature: as for :func:`rankgrad.metrics.ndcg`.
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
        >>> approx_ndcg_loss(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]), temperature=0.01)
        tensor(0.3691)
    """
    metric = partial(ndcg, k=k, gain=gain, cut_temperature=cut_temperature)
    ranker = partial(soft_rank, temperature=temperature)
    return metric_loss(scores, labels, mask, metric=metric, ranker=ranker, weights=weights, reduction=reduction)


class ApproxNDCG(nn.Module):
    """:func:`approx_ndcg_loss` with its options held.

    Example:
        >>> import torch
        >>> ApproxNDCG(temperature=0.01)(torch.tensor([1.0, 2.0]), torch.tensor([1, 0]))
        tensor(0.3691)
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        k: int | None = None,
        gain: Gain = "exp2",
        cut_temperature: float | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            approx_ndcg_loss,
            temperature=temperature,
            k=k,
            gain=gain,
            cut_temperature=cut_temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
