"""Soft Spearman correlation."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._correlation import correlation
from rankgrad.losses._lists import labels_differ, prepare, reduce_lists, refuse_item_weights
from rankgrad.ops import hard_rank, soft_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def spearman_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 0.1,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus Spearman's correlation of soft ranks of the scores with the ranks of the labels.

    Pearson's correlation of the sigmoid soft ranks with the hard ranks of the labels, tied labels sharing the mean of
    theirs. Lists whose labels are all equal do not count; scores that are all equal have correlation 0.

    Args:
        scores: higher is better.
        labels: what is to be ranked alike.
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
        Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and ranking, ICML 2020 (its label ranking), with
        the ranks of Qin, Liu, Li, Information Retrieval 13, 2010.

    Example:
        >>> import torch
        >>> spearman_loss(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 3, 2]), temperature=0.01)
        tensor(0.5000)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    refuse_item_weights(lists)
    ranks = soft_rank(lists.scores, temperature=temperature, mask=lists.mask)
    losses = 1 - correlation(ranks, hard_rank(lists.labels, mask=lists.mask, ties="average"), lists.mask)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


class SpearmanLoss(nn.Module):
    """:func:`spearman_loss` with its options held.

    Example:
        >>> import torch
        >>> SpearmanLoss(temperature=0.01)(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 3, 2]))
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
            spearman_loss,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
