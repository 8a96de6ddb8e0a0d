"""The rank correlation of average precision."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, empty_value, in_runs, keep_nan
from rankgrad.metrics._modules import forward_untied
from rankgrad.metrics._pairs import ranked_pairs
from rankgrad.ops import RankFunction, hard_rank


def tau_ap(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ranker: RankFunction = hard_rank,
    empty: Empty = 0.0,
) -> Tensor:
    """Rank correlation of scores and labels in which errors at the top weigh more.

    ``tau_AP = 2 / (n - 1) sum_{i: r_i > 1} C_i / (r_i - 1) - 1`` with ranks ``r`` of the scores and ``C_i`` of the
    items above i that the labels too put above it. It is not symmetric: the labels are the truth. The paper has no
    ties; here a pair tied in the labels counts half, and of equal scores the lower index ranks first. With a soft
    ranker item j is above i by ``a_ij = clamp(r_i - r_j, 0, 1)``, and ``r_i - 1`` is ``max(1, sum_j a_ij)``.

    Args:
        scores: higher is better.
        labels: the truth.
        mask: True = a real item.
        ranker: a soft one makes the metric differentiable in the scores.
        empty: the value of a list of fewer than two items; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Yilmaz, Aslam, Robertson: A new rank correlation coefficient for information retrieval, SIGIR 2008.

    Example:
        >>> import torch
        >>> tau_ap(torch.tensor([3.0, 4.0, 2.0, 1.0]), torch.tensor([4, 3, 2, 1]))
        tensor(0.3333)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        ranks, runs = ranked_pairs(scores, labels, mask, ranker)
        total, count = ranks.sum(dim=-1) * 0, ranks.detach().sum(dim=-1) * 0
        for ahead, wanted, pairs in runs():
            above = (-ahead).clamp(min=0.0)
            right = (above * (1 - wanted) / 2).sum(dim=-1)
            total = total + (right / above.sum(dim=-1).clamp(min=1.0)).sum(dim=-1)
            count = count + pairs.any(dim=-1).sum(dim=-1)
        short = count < 2
        value = 2 * total / (count - 1).masked_fill(short, 1.0) - 1
        return keep_nan(value.masked_fill(short, empty_value(empty)), ranks)

    return in_runs(values, scores, labels, mask, differentiable=ranker is not hard_rank)


class TauAP(nn.Module):
    """:func:`tau_ap` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> TauAP().name
        'tau-AP'
    """

    def __init__(self, *, empty: Empty = 0.0) -> None:
        super().__init__()
        self.name = "tau-AP"
        self.metric = partial(tau_ap, empty=empty)

    forward = forward_untied
