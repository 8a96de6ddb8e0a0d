"""Distillation of score differences."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists, squares
from rankgrad.ops.masked import Reduction


def margin_mse_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean squared error of the margins between the items of a list, against a teacher's margins.

    ``mean_{i < j} w_i w_j ((s_i - s_j) - (t_i - t_j))^2`` over all pairs of real items; for lists of two the published
    loss. With ``d = s - t`` and weights of 1 it equals ``2 / (n - 1) sum_i (d_i - mean(d))^2``, which takes no pairs to
    compute. Lists of fewer than two real items do not count.

    A margin that is to be the same for all pairs of a relevant and another item is :func:`constant_margin_mse_loss`'s.
    Deviations beyond 2^50 (2^500 in float64) count as that and take no gradient.

    Args:
        scores: higher is better.
        labels: the teacher's scores ``t``.
        mask: True = a real item.
        weights: of items, a pair having the product of its items', or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Hofstätter et al.: Improving efficient neural ranking models with cross-architecture knowledge distillation,
        arXiv:2010.02666, 2020.

    Example:
        >>> import torch
        >>> margin_mse_loss(torch.tensor([3.0, 1.0]), torch.tensor([5.0, 4.5]))
        tensor(2.2500)
    """
    lists = prepare(scores, labels, mask, weights)
    differences, count = lists.scores - lists.labels, lists.mask.sum(dim=-1)
    amounts = lists.weighted(lists.mask.to(differences.dtype))
    total = amounts.sum(dim=-1)
    mean = (amounts * differences).sum(dim=-1) / total.masked_fill(total == 0, 1.0)
    deviations = (differences - mean.unsqueeze(-1)).masked_fill(~lists.mask, 0.0)
    pairs = (count * (count - 1) / 2).clamp(min=1)
    losses = total * (amounts * squares(deviations)).sum(dim=-1) / pairs
    return reduce_lists(losses, count >= 2, lists, reduction)


class MarginMSELoss(nn.Module):
    """:func:`margin_mse_loss` with its options held.

    Example:
        >>> import torch
        >>> MarginMSELoss()(torch.tensor([3.0, 1.0]), torch.tensor([5.0, 4.5]))
        tensor(2.2500)
    """

    def __init__(
        self,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        self.loss = partial(
            margin_mse_loss,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
