"""Fenchel-Young loss of rankings."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import bounded, labels_differ, prepare, reduce_lists, refuse_item_weights
from rankgrad.ops import hard_rank, soft_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def fenchel_young_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """How much a list's labels differ in order from the projection of its scores on the orders.

    ``max_{v in P} (<z, v> - |v|^2 / 2) + |y|^2 / 2 - <z, y>`` with ``z = s / temperature``, P the convex hull of the
    orders of 1 to n, and y the labels' ascending ranks, tied labels sharing the mean of theirs. The maximum is taken by
    the isotonic soft ranks v of z, and the gradient is ``(v - y) / temperature``, without a derivative of v: unlike a
    squared error of soft ranks it does not vanish where a wrong order is clear. 0 where the ranks are right and no two
    scores closer than the temperature. Time is O(n log n). Lists whose labels are all equal do not count.

    Args:
        scores: higher is better.
        labels: graded relevance; only their order matters.
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
        Blondel, Martins, Niculae: Learning with Fenchel-Young losses, JMLR 21, 2020. Blondel, Teboul, Berthet,
        Djolonga: Fast differentiable sorting and ranking, ICML 2020.

    Example:
        >>> import torch
        >>> fenchel_young_loss(torch.tensor([1.0, 0.2, 0.0]), torch.tensor([2, 3, 1]))
        tensor(1.0800)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    refuse_item_weights(lists)
    values = bounded(lists.scores) / temperature
    found = soft_rank(values.detach(), temperature=1.0, method="isotonic", descending=False, mask=lists.mask)
    wanted = hard_rank(lists.labels, mask=lists.mask, descending=False, ties="average")
    losses = (values * (found - wanted) + (wanted.square() - found.square()) / 2).sum(dim=-1)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


class FenchelYoungLoss(nn.Module):
    """:func:`fenchel_young_loss` with its options held.

    Example:
        >>> import torch
        >>> FenchelYoungLoss()(torch.tensor([4.0, 6.0, 0.0]), torch.tensor([2, 3, 1]))
        tensor(0.)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            fenchel_young_loss,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
