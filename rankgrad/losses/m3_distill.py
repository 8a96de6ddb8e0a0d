"""Distillation of a teacher's order and confidence."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.losses._orders import LabelTies, by_labels, lags
from rankgrad.ops import masked_softmax
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def m3_distill_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ties: LabelTies = "together",
    temperature: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of each item among those the teacher puts no higher, weighed by the teacher's softmax.

    ``sum_i p_i w_i (log sum_(j left at i) e^(s_j / T) - s_i / T)`` with ``p = softmax(t / T)`` of teacher scores t.
    Equal to BGE-M3's ``m3_kd_loss`` for lists that are given best first; that one takes items in the order in which
    they are given. In-batch negatives are items with a teacher's score of ``-inf``: in every denominator, never a
    target. Of equal labels each meets all the others in its denominator with ``ties="together"`` (Breslow's rule), so
    that the loss does not depend on their order; with ``"lowest_index"`` the lower index is taken first. Lists of fewer
    than two real items do not count.

    Args:
        scores: higher is better.
        labels: the teacher's scores ``t``.
        mask: True = a real item.
        ties: ``"together"`` or ``"lowest_index"``.
        temperature: divides both sides' scores.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Chen et al.: BGE M3-Embedding: multi-lingual, multi-functionality, multi-granularity text embeddings through
        self-knowledge distillation, arXiv:2402.03216, 2024, with the loss of its code (FlagEmbedding).

    Example:
        >>> import torch
        >>> m3_distill_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([3.0, 2.0, 1.0]))
        tensor(0.3478)
    """
    check_positive(temperature, "temperature")
    lists = prepare(scores, labels, mask, weights)
    amounts = lists.weighted(masked_softmax(lists.labels / temperature, lists.mask))
    ordered = by_labels(lists, temperature)
    losses = (lags(ordered, ties) * amounts.gather(-1, ordered.order)).sum(dim=-1)
    return reduce_lists(losses, lists.mask.sum(dim=-1) >= 2, lists, reduction)


class M3DistillLoss(nn.Module):
    """:func:`m3_distill_loss` with its options held.

    Example:
        >>> import torch
        >>> M3DistillLoss()(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([3.0, 2.0, 1.0]))
        tensor(0.3478)
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
            m3_distill_loss,
            ties=ties,
            temperature=temperature,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)
