"""Distillation of a teacher's ranks."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias, get_args

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.ops import hard_rank, masked_mean, soft_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction

Discount: TypeAlias = Literal["log2", "reciprocal", "none"]


def rank_mse_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    discount: Discount = "log2",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Discounted squared error of soft ranks against a teacher's ranks.

    ``mean_i w_i c(r_i) (r_i - q_i)^2`` with the teacher's ranks r, tied items sharing the mean of theirs, the sigmoid
    soft ranks q of the scores, and the discount c: ``1 / log2(1 + r)`` (``"log2"``: ADR-MSE), ``1 / r``
    (``"reciprocal"``) or 1 (``"none"``: RankMSE). With bounded scores and a high temperature the first and last ranks
    are out of reach. Lists of fewer than two real items do not count.

    Args:
        scores: higher is better.
        labels: the teacher's scores, or labels.
        mask: True = a real item.
        temperature: of the soft ranks, in the units of the scores.
        discount: as above.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Schlatt et al.: Rank-DistiLLM: closing the effectiveness gap between cross-encoders and LLMs for passage
        re-ranking, ECIR 2025.

    Example:
        >>> import torch
        >>> rank_mse_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([3.0, 1.0, 2.0]))
        tensor(0.2956)
    """
    _check(temperature, discount)
    lists = prepare(scores, labels, mask, weights)
    ranks = hard_rank(lists.labels, mask=lists.mask, ties="average").clamp(min=1.0)
    errors = (soft_rank(lists.scores, temperature=temperature, mask=lists.mask) - ranks).square()
    if discount != "none":
        errors = errors / ((1 + ranks).log2() if discount == "log2" else ranks)
    losses = masked_mean(lists.weighted(errors), lists.mask)
    return reduce_lists(losses, lists.mask.sum(dim=-1) >= 2, lists, reduction)


def _check(temperature: float, discount: str) -> None:
    check_positive(temperature, "temperature")
    if discount not in get_args(Discount):
        raise InputError(f"discount: expected one of {', '.join(get_args(Discount))}, got {discount!r}")


class RankMSELoss(nn.Module):
    """:func:`rank_mse_loss` with its options held.

    Example:
        >>> import torch
        >>> RankMSELoss(discount="none")(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([3.0, 1.0, 2.0]))
        tensor(0.5083)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        discount: Discount = "log2",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(temperature, discount)
        self.loss = partial(
            rank_mse_loss,
            temperature=temperature,
            discount=discount,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
