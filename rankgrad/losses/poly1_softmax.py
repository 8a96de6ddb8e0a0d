"""Softmax cross-entropy with a polynomial term."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.losses._targets import target_cross_entropy
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def poly1_softmax_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    epsilon: float = 1.0,
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Softmax cross-entropy plus ``epsilon`` times what the softmax does not give to the targets.

    ``-sum_i p_i log q_i + epsilon (1 - sum_i p_i q_i)`` with ``p_i = y_i / sum_j y_j`` and ``q = softmax(s /
    temperature)``: the first coefficient of the cross-entropy's expansion in powers of ``1 - q`` is raised by epsilon.
    Item weights are of the first term. Lists without a positive label do not count.

    Args:
        scores: higher is better.
        labels: relevance; negative labels count as 0.
        mask: True = a real item.
        epsilon: how much the first coefficient is raised; above -1, so that it stays positive.
        temperature: divides the scores.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Leng et al.: PolyLoss: a polynomial expansion perspective of classification loss functions, ICLR 2022. For
        ranking: rax (Jagerman et al., KDD 2022).

    Example:
        >>> import torch
        >>> poly1_softmax_loss(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(1.1931)
    """
    _check(epsilon, temperature)
    lists = prepare(scores, labels, mask, weights)
    losses, given, counts = target_cross_entropy(lists, temperature)
    return reduce_lists(losses + epsilon * (1 - given), counts, lists, reduction)


def _check(epsilon: float, temperature: float) -> None:
    check_positive(temperature, "temperature")
    if not epsilon > -1:
        raise InputError(f"epsilon: expected a number above -1, got {epsilon}")


class Poly1SoftmaxLoss(nn.Module):
    """:func:`poly1_softmax_loss` with its options held.

    Example:
        >>> import torch
        >>> Poly1SoftmaxLoss(epsilon=0.0)(torch.tensor([0.0, 0.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        *,
        epsilon: float = 1.0,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(epsilon, temperature)
        self.loss = partial(
            poly1_softmax_loss,
            epsilon=epsilon,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
