"""SmoothI."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad.losses._gains import check_cut, discounts, gains_of, normalised
from rankgrad.losses._lists import bounded, prepare, reduce_lists
from rankgrad.metrics.conventions import Gain
from rankgrad.ops import masked_softmax
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction

_LARGE = 1024.0


def smooth_i_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int = 10,
    alpha: float = 1.0,
    delta: float = 0.1,
    gain: Gain = "exp2",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus nDCG@k of gains that smooth rank indicators have picked, one rank after another.

    ``1 - sum_{r <= k} (sum_j I_rj G_j) / log2(1 + r)`` with gains G over their ideal DCG and ``I_r = softmax(alpha S
    prod_{l < r} (1 - I_l - delta))``, ``S = s - min(s)``. As alpha grows the indicators become those of the hard order,
    where no two scores are equal. The gradient is the exact derivative as long as logits are no larger than 1024, and
    holds the product constant beyond, as the published code always does; that code also takes gains of averaged labels
    in place of averaged gains. O(k n). Lists without a positive gain do not count.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: how many ranks are picked.
        alpha: multiplies the scores.
        delta: how far below 0 the logit of an item that is already picked falls.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
        weights: of items, each times its item's gain, in the ideal order too, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Thonet, Cinar, Gaussier, Li, Renders: Listwise learning to rank based on approximate rank indicators, AAAI 2022.

    Example:
        >>> import torch
        >>> smooth_i_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.3209)
    """
    _check(k, alpha, delta)
    lists = prepare(scores, labels, mask, weights)
    gains = normalised(lists.weighted(gains_of(lists, gain)), k)
    values = bounded(lists.scores)
    lowest = pad(values.masked_fill(~lists.mask, float("inf")), (0, 1), value=float("inf")).amin(dim=-1, keepdim=True)
    left = alpha * (values - lowest.masked_fill(lowest == float("inf"), 0.0)).masked_fill(~lists.mask, 0.0)
    placed = []
    for _ in range(min(k, gains.shape[-1])):
        picked = masked_softmax(left, lists.mask)
        placed.append((picked * gains).sum(dim=-1))
        # Through equal scores a derivative grows with the logits, step by step, out of any range.
        passed = 1 - picked - delta
        left = left * torch.where(left.abs() > _LARGE, passed.detach(), passed)
    found = torch.stack(placed, dim=-1) if placed else gains
    losses = 1 - (found * discounts(found.shape[-1], found)).sum(dim=-1)
    return reduce_lists(losses, (gains > 0).any(dim=-1), lists, reduction)


def _check(k: int, alpha: float, delta: float) -> None:
    check_cut(k)
    check_positive(alpha, "alpha")
    check_positive(delta, "delta")


class SmoothI(nn.Module):
    """:func:`smooth_i_loss` with its options held.

    Example:
        >>> import torch
        >>> SmoothI(k=1)(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.7253)
    """

    def __init__(
        self,
        *,
        k: int = 10,
        alpha: float = 1.0,
        delta: float = 0.1,
        gain: Gain = "exp2",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(k, alpha, delta)
        self.loss = partial(
            smooth_i_loss,
            k=k,
            alpha=alpha,
            delta=delta,
            gain=gain,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
