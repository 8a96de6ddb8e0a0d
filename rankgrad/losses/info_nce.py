"""Contrastive loss of positives against negatives."""

from __future__ import annotations

from torch import Tensor, nn

from rankgrad.losses._lists import prepare
from rankgrad.ops import masked_logsumexp, masked_mean, safe_reduce
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def info_nce_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-probability of each positive among itself and the negatives.

    ``-1/|P| sum_{p in P} log( e^{s_p / t} / (e^{s_p / t} + sum_{n in N} e^{s_n / t}) )`` with temperature t, the
    positives P (label above 0) and the negatives N (all other real items): positives never push each other down.
    In-batch negatives are columns with label 0. Lists without a positive do not count; a list without a negative has
    loss 0.

    Args:
        scores: higher is better.
        labels: positive above 0.
        mask: True = a real item.
        temperature: divides the scores.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[]``, or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        van den Oord, Li, Vinyals: Representation learning with contrastive predictive coding, arXiv:1807.03748, 2018.

    Example:
        >>> import torch
        >>> info_nce_loss(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1, 1, 0]))
        tensor(0.6931)
    """
    check_positive(temperature, "temperature")
    scores, labels, mask = prepare(scores, labels, mask)
    logits, positive = scores / temperature, labels > 0
    negatives = masked_logsumexp(logits, mask & ~positive).unsqueeze(-1)
    # Of the negatives' own logits none may meet the sum: -inf - (-inf) would turn their gradient to NaN.
    losses = masked_mean(nn.functional.softplus(negatives - logits.masked_fill(~positive, 0.0)), positive)
    return safe_reduce(losses, positive.any(dim=-1), reduction)


class InfoNCELoss(nn.Module):
    """:func:`info_nce_loss` with its options held.

    Example:
        >>> import torch
        >>> InfoNCELoss(temperature=0.05)(torch.tensor([1.0, 1.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(self, *, temperature: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.temperature = temperature
        self.reduction: Reduction = reduction

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return info_nce_loss(scores, labels, mask, temperature=self.temperature, reduction=self.reduction)
