"""Distillation of a teacher's distribution over a list."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.ops import masked_log_softmax
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def kl_distill_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    scale_by_temperature: bool = False,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Kullback-Leibler divergence of the student's softmax over a list from the teacher's.

    ``sum_i p_i (log p_i - log q_i)`` with ``p = softmax(t / T)``, ``q = softmax(s / T)``, teacher scores t and
    temperature T: the divergence itself. With ``scale_by_temperature`` it is multiplied by ``T^2``, which keeps the
    size of the gradient while T changes; at T = 1 there is no difference. Lists of fewer than two real items do not
    count.

    Args:
        scores: higher is better.
        labels: the teacher's scores ``t``.
        mask: True = a real item.
        temperature: divides both sides' scores.
        scale_by_temperature: multiply by ``temperature ** 2``.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, arXiv:1503.02531, 2015.

    Example:
        >>> import torch
        >>> kl_distill_loss(torch.tensor([1.0, 2.0]), torch.tensor([11.0, 12.0]))
        tensor(0.)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    student = masked_log_softmax(lists.scores / temperature, lists.mask)
    teacher = masked_log_softmax(lists.labels / temperature, lists.mask)
    probabilities = teacher.exp().masked_fill(~lists.mask, 0.0)
    # An item the teacher gives no chance adds nothing, as p log p does in the limit.
    ruled_out = probabilities == 0
    divergences = probabilities * (teacher.masked_fill(ruled_out, 0.0) - student.masked_fill(ruled_out, 0.0))
    losses = lists.weighted(divergences).sum(dim=-1)
    if scale_by_temperature:
        losses = losses * temperature**2
    return reduce_lists(losses, lists.mask.sum(dim=-1) >= 2, lists, reduction)


class KLDistillLoss(nn.Module):
    """:func:`kl_distill_loss` with its options held.

    Example:
        >>> import torch
        >>> KLDistillLoss(temperature=2.0)(torch.tensor([1.0, 2.0]), torch.tensor([11.0, 12.0]))
        tensor(0.)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        scale_by_temperature: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss = partial(
            kl_distill_loss,
            temperature=temperature,
            scale_by_temperature=scale_by_temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
