"""Triplets of a query, a positive and a negative."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.losses._lists import bounded, prepare, reduce_lists
from rankgrad.losses._pairs import over_pairs
from rankgrad.ops import masked_mean
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction
from rankgrad.ops.pairwise_loss import PairOptions


def triplet_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    margin: float = 1.0,
    negatives: Literal["all", "hardest"] = "all",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """How far positives fall short of leading the negatives of their list by a margin.

    ``mean_{p, n} w_p max(0, margin - s_p + s_n)`` over positives p (label above 0) and negatives n (all other real
    items), or with ``negatives="hardest"`` each positive against the highest-scored negative alone. Lists without a
    positive or without a negative do not count. No matrix of pairs is held. With distances d for scores hand in ``-d``.

    Args:
        scores: higher is better.
        labels: positive above 0.
        mask: True = a real item.
        margin: the lead that costs nothing, in the units of the scores.
        negatives: ``"all"`` or ``"hardest"``.
        weights: of items, for the triplets that prefer it, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Schroff, Kalenichenko, Philbin: FaceNet: a unified embedding for face recognition and clustering, CVPR 2015.
        Hardest negatives: Hermans, Beyer, Leibe: In defense of the triplet loss, arXiv:1703.07737, 2017.

    Example:
        >>> import torch
        >>> triplet_loss(torch.tensor([1.0, 0.5, -3.0]), torch.tensor([1, 0, 0]))
        tensor(0.2500)
    """
    _check(margin, negatives)
    lists = prepare(scores, labels, mask, weights)
    positive = lists.labels > 0
    if negatives == "all":
        binary = lists._replace(labels=positive.to(lists.scores.dtype))
        losses, counts = over_pairs(binary, PairOptions(link="hinge", margin=margin), "mean")
        return reduce_lists(losses, counts, lists, reduction)
    others, values = lists.mask & ~positive, bounded(lists.scores)
    hardest = pad(values.masked_fill(~others, float("-inf")), (0, 1), value=float("-inf")).amax(dim=-1)
    hardest = hardest.masked_fill(~others.any(dim=-1), 0.0).unsqueeze(-1)
    losses = masked_mean(lists.weighted((margin - values + hardest).clamp(min=0.0)), positive)
    return reduce_lists(losses, positive.any(dim=-1) & others.any(dim=-1), lists, reduction)


def _check(margin: float, negatives: str) -> None:
    check_positive(margin, "margin")
    if negatives not in ("all", "hardest"):
        raise InputError(f'negatives: expected "all" or "hardest", got {negatives!r}')


class TripletLoss(nn.Module):
    """:func:`triplet_loss` with its options held.

    Example:
        >>> import torch
        >>> TripletLoss(negatives="hardest")(torch.tensor([1.0, 0.5, -3.0]), torch.tensor([1, 0, 0]))
        tensor(0.5000)
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        negatives: Literal["all", "hardest"] = "all",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(margin, negatives)
        self.loss = partial(
            triplet_loss,
            margin=margin,
            negatives=negatives,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
