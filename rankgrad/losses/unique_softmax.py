"""Softmax of each item against those of lower labels."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import pad, softplus

from rankgrad.losses._gains import gains_of
from rankgrad.losses._lists import labels_differ, prepare, reduce_lists
from rankgrad.losses._orders import by_labels
from rankgrad.metrics.conventions import Gain
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def unique_softmax_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    gain: Gain = "exp2",
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Each item's softmax cross-entropy among itself and the items of lower labels.

    ``sum_i w_i G_i (log(e^(s_i / t) + sum_{y_j < y_i} e^(s_j / t)) - s_i / t)`` with gains G and temperature t: items
    of equal labels never push each other down. With one gain for all and distinct labels it is :func:`list_mle_loss`.
    Lists without an item above another do not count. Time is O(n log n).

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
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
        Zhu, Klabjan: Listwise learning to rank by exploring unique ratings, WSDM 2020.

    Example:
        >>> import torch
        >>> unique_softmax_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(6.3497)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    amounts = lists.weighted(gains_of(lists, gain))
    ordered = by_labels(lists, temperature)
    hidden = pad(ordered.rest.masked_fill(~ordered.real, float("-inf")), (0, 1), value=float("-inf"))
    terms = softplus(hidden.gather(-1, ordered.after()) - ordered.scores).masked_fill(~ordered.real, 0.0)
    losses = (terms * amounts.gather(-1, ordered.order)).sum(dim=-1)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


class UniqueSoftmaxLoss(nn.Module):
    """:func:`unique_softmax_loss` with its options held.

    Example:
        >>> import torch
        >>> UniqueSoftmaxLoss(gain="linear")(torch.tensor([2.0, 1.0]), torch.tensor([0, 1]))
        tensor(1.3133)
    """

    def __init__(
        self,
        *,
        gain: Gain = "exp2",
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            unique_softmax_loss,
            gain=gain,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
