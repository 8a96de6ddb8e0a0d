"""Position-aware likelihood of the labels' order."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad.losses._lists import labels_differ, prepare, reduce_lists
from rankgrad.losses._orders import LabelTies, by_labels, lags, weighted_in_order
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def p_list_mle_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ties: LabelTies = "together",
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of the labels' order, early places weighing most.

    ``sum_i a_i w_i (log sum_(j left at i) e^(s_j / t) - s_i / t)`` with temperature t and ``a_i = (2^(n - i) - 1) /
    (2^n - 1 - n)``, the published weights of the places i of n, over their sum, which would overflow from n = 129 on.
    Of equal labels each meets all the others in its denominator with ``ties="together"`` (Breslow's rule), so that the
    loss does not depend on their order; with ``"lowest_index"`` the lower index is taken first. Tied items then share
    the weight of their mean place. Lists whose labels are all equal do not count.

    Args:
        scores: higher is better.
        labels: graded relevance; only their order matters.
        mask: True = a real item.
        ties: ``"together"`` or ``"lowest_index"``.
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
        Lan, Zhu, Guo, Niu, Cheng: Position-aware ListMLE: a sequential learning process for ranking, UAI 2014.

    Example:
        >>> import torch
        >>> p_list_mle_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(1.5874)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    ordered = by_labels(lists, temperature)
    terms = weighted_in_order(lags(ordered, ties), lists, ordered)
    places = torch.arange(1, terms.shape[-1] + 1, device=terms.device)
    if ties == "together":
        places = (ordered.first() + ordered.after() + 1) / 2
    amounts = _amounts(places.to(terms.dtype), lists.mask.sum(dim=-1, keepdim=True).to(terms.dtype))
    losses = (terms * amounts).sum(dim=-1)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


def _amounts(places: Tensor, count: Tensor) -> Tensor:
    """The weights of places of ``count`` items, with ``2^-count`` taken out of numerator and denominator."""
    least = torch.exp2(-count)
    return (torch.exp2(-places) - least).clamp(min=0.0) / (1 - (1 + count) * least).masked_fill(count < 2, 1.0)


class PListMLELoss(nn.Module):
    """:func:`p_list_mle_loss` with its options held.

    Example:
        >>> import torch
        >>> PListMLELoss()(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(1.5874)
    """

    def __init__(
        self,
        *,
        ties: LabelTies = "together",
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            p_list_mle_loss,
            ties=ties,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
