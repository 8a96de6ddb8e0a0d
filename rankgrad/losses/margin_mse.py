"""Distillation of score differences."""

from __future__ import annotations

from torch import Tensor, nn

from rankgrad.losses._lists import prepare
from rankgrad.ops import masked_mean, safe_reduce
from rankgrad.ops.masked import Reduction


def margin_mse_loss(
    scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, reduction: Reduction = "mean"
) -> Tensor:
    """Mean squared error of the margins between the items of a list, against a teacher's margins.

    ``mean_{i < j} ((s_i - s_j) - (t_i - t_j))^2`` over all pairs of real items; for lists of two the published loss.
    With ``d = s - t`` it equals ``2 / (n - 1) sum_i (d_i - mean(d))^2``, which takes no pairs to compute. Lists of
    fewer than two real items do not count.

    Args:
        scores: higher is better.
        labels: the teacher's scores ``t``.
        mask: True = a real item.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[]``, or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Hofstätter et al.: Improving efficient neural ranking models with cross-architecture knowledge distillation,
        arXiv:2010.02666, 2020.

    Example:
        >>> import torch
        >>> margin_mse_loss(torch.tensor([3.0, 1.0]), torch.tensor([5.0, 4.5]))
        tensor(2.2500)
    """
    scores, labels, mask = prepare(scores, labels, mask)
    differences = scores - labels
    deviations = (differences - masked_mean(differences, mask).unsqueeze(-1)).masked_fill(~mask, 0.0)
    count = mask.sum(dim=-1)
    losses = 2 * deviations.square().sum(dim=-1) / (count - 1).clamp(min=1)
    return safe_reduce(losses, count >= 2, reduction)


class MarginMSELoss(nn.Module):
    """:func:`margin_mse_loss` with its options held.

    Example:
        >>> import torch
        >>> MarginMSELoss()(torch.tensor([3.0, 1.0]), torch.tensor([5.0, 4.5]))
        tensor(2.2500)
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = reduction

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return margin_mse_loss(scores, labels, mask, reduction=self.reduction)
