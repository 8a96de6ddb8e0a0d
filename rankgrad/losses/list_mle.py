"""Likelihood of the labels' order."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._gains import check_cut
from rankgrad.losses._lists import labels_differ, prepare, reduce_lists
from rankgrad.losses._orders import LabelTies, by_labels, lags, weighted_in_order, within
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def list_mle_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    ties: LabelTies = "together",
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of the labels' order under the Plackett-Luce model of the scores.

    ``sum_i w_i (log sum_(j left at i) e^(s_j / t) - s_i / t)`` with temperature t, items being taken from the highest
    label down. Of equal labels each meets all the others in its denominator with ``ties="together"`` (Breslow's rule),
    so that the loss does not depend on their order; with ``"lowest_index"`` the lower index is taken first. Lists whose
    labels are all equal do not count. Time is O(n log n).

    Args:
        scores: higher is better.
        labels: graded relevance; only their order matters.
        mask: True = a real item.
        k: only the first k places, tied items standing at the first of theirs; None = all.
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
        Xia, Liu, Wang, Zhang, Li: Listwise approach to learning to rank: theory and algorithm, ICML 2008. Ties:
        Breslow: Covariance analysis of censored survival data, Biometrics 30, 1974.

    Example:
        >>> import torch
        >>> list_mle_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(3.5345)
    """
    check_positive(temperature, "temperature")
    check_cut(k)
    lists = prepare(scores, labels, mask, weights)
    ordered = by_labels(lists, temperature)
    terms = weighted_in_order(lags(ordered, ties), lists, ordered)
    # What is masked is 0 already.
    losses = (terms if k is None else terms.masked_fill(~within(ordered, k, ties), 0.0)).sum(dim=-1)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


class ListMLELoss(nn.Module):
    """:func:`list_mle_loss` with its options held.

    Example:
        >>> import torch
        >>> ListMLELoss(k=1)(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(1.4076)
    """

    def __init__(
        self,
        *,
        k: int | None = None,
        ties: LabelTies = "together",
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        check_cut(k)
        self.loss = partial(
            list_mle_loss,
            k=k,
            ties=ties,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
