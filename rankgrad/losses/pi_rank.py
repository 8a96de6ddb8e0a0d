"""PiRank."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._gains import check_cut, discounts, gains_of, normalised
from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.metrics.conventions import Gain
from rankgrad.ops import relaxed_permutation
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction
from rankgrad.ops.ranking import ideal_order


def pi_rank_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 5.0,
    k: int | None = None,
    gain: Gain = "exp2",
    straight_through: bool = False,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus nDCG of gains that a relaxed permutation has put in order.

    ``1 - sum_{r <= k} (P G)_r / log2(1 + r)`` with gains G over their ideal DCG and P the NeuralSort matrix of the
    scores. With ``straight_through`` the value is that of the hard order and the gradient that of the soft one, as in
    the published code. One value a list, where that code divides sums over a batch. The matrix is never held. Lists
    without a positive gain do not count.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        temperature: softness of the places, in the units of the scores.
        k: cut-off; None = the whole list.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
        straight_through: hard value, soft gradient.
        weights: of items, each times its item's gain, in the ideal order too, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Swezey, Grover, Charron, Ermon: PiRank: scalable learning to rank via differentiable sorting, NeurIPS 2021.

    Example:
        >>> import torch
        >>> pi_rank_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.1857)
    """
    check_positive(temperature, "temperature")
    check_cut(k)
    lists = prepare(scores, labels, mask, weights)
    gains = normalised(lists.weighted(gains_of(lists, gain)), k)

    soft = relaxed_permutation.apply(lists.scores, gains.unsqueeze(-1), lists.mask, temperature, method="neuralsort")
    placed = soft[..., :k, 0]
    if straight_through:
        order = ideal_order(lists.scores, mask=lists.mask)
        placed = placed + (gains.gather(-1, order)[..., :k] - placed).detach()

    losses = 1 - (placed * discounts(placed.shape[-1], placed)).sum(dim=-1)
    return reduce_lists(losses, (gains > 0).any(dim=-1), lists, reduction)


class PiRank(nn.Module):
    """:func:`pi_rank_loss` with its options held.

    Example:
        >>> import torch
        >>> PiRank(straight_through=True)(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.3410)
    """

    def __init__(
        self,
        *,
        temperature: float = 5.0,
        k: int | None = None,
        gain: Gain = "exp2",
        straight_through: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        check_cut(k)
        self.loss = partial(
            pi_rank_loss,
            temperature=temperature,
            k=k,
            gain=gain,
            straight_through=straight_through,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
