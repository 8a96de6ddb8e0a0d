"""Squared distance of positives' lead from a constant."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists, squares
from rankgrad.ops import masked_mean
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def constant_margin_mse_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    margin: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean squared error of each positive's lead over each other item, against one margin.

    ``mean_{p, n} w_p (s_p - s_n - margin)^2`` over the positives p (label above 0) and the other real items n. Summed
    by means and deviations of the two groups, so it takes O(n). Lists without a positive or without another item do not
    count.

    Deviations beyond 2^50 (2^500 in float64) count as that and take no gradient.

    Args:
        scores: higher is better.
        labels: positive above 0.
        mask: True = a real item.
        margin: how far positives are to be above, in the units of the scores.
        weights: of items, for the pairs that prefer it, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        The constant-margin case of Hofstätter et al.: Improving efficient neural ranking models with cross-architecture
        knowledge distillation, arXiv:2010.02666, 2020, as in Lightning IR (Schlatt et al., WSDM 2025).

    Example:
        >>> import torch
        >>> constant_margin_mse_loss(torch.tensor([3.0, 1.0]), torch.tensor([1, 0]))
        tensor(1.)
    """
    check_positive(margin, "margin")
    lists = prepare(scores, labels, mask, weights)
    positive = lists.labels > 0
    others = lists.mask & ~positive
    mean = masked_mean(lists.scores, others).unsqueeze(-1)
    leads = (lists.scores - mean - margin).masked_fill(~positive, 0.0)
    spread = masked_mean(squares((lists.scores - mean).masked_fill(~others, 0.0)), others)
    amounts = lists.weighted(positive.to(leads.dtype))
    losses = masked_mean(amounts * squares(leads), positive) + spread * masked_mean(amounts, positive)
    return reduce_lists(losses, positive.any(dim=-1) & others.any(dim=-1), lists, reduction)


class ConstantMarginMSELoss(nn.Module):
    """:func:`constant_margin_mse_loss` with its options held.

    Example:
        >>> import torch
        >>> ConstantMarginMSELoss(margin=2.0)(torch.tensor([3.0, 1.0]), torch.tensor([1, 0]))
        tensor(0.)
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(margin, "margin")
        self.loss = partial(
            constant_margin_mse_loss,
            margin=margin,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
