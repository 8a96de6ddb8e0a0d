"""Ordered pair accuracy."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, in_runs, keep_nan, ratio
from rankgrad.metrics._modules import forward_untied
from rankgrad.metrics._pairs import ranked_pairs, shared_rank
from rankgrad.ops import RankFunction


def ordered_pair_accuracy(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ranker: RankFunction = shared_rank,
    empty: Empty = 0.0,
) -> Tensor:
    """Share of the pairs with different labels that the scores put in the labels' order.

    ``#{y_i > y_j, s_i > s_j} / #{y_i > y_j}``; a pair of equal scores is not in order. With a soft ranker a pair counts
    ``clamp(r_j - r_i, 0, 1)`` by its ranks. Pairs are looked at 256 items against a list at a time.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        ranker: a soft one makes the metric differentiable in the scores.
        empty: the value of a list without two different labels; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        As in Rax: Jagerman, Wang, Zhuang, Qin, Bendersky, Najork: Rax: composable learning-to-rank using JAX, KDD 2022.

    Example:
        >>> import torch
        >>> ordered_pair_accuracy(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, 2, 0]))
        tensor(0.6667)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        ranks, runs = ranked_pairs(scores, labels, mask, ranker)
        right, total = ranks.sum(dim=-1) * 0, ranks.detach().sum(dim=-1) * 0
        for ahead, wanted, _ in runs():
            better = wanted > 0
            right = right + ahead.clamp(min=0.0).where(better, 0.0).sum(dim=(-2, -1))
            total = total + better.sum(dim=(-2, -1))
        return keep_nan(ratio(right, total, empty), ranks)

    return in_runs(values, scores, labels, mask, differentiable=ranker is not shared_rank)


class OrderedPairAccuracy(nn.Module):
    """:func:`ordered_pair_accuracy` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> OrderedPairAccuracy().name
        'OPA'
    """

    def __init__(self, *, empty: Empty = 0.0) -> None:
        super().__init__()
        self.name = "OPA"
        self.metric = partial(ordered_pair_accuracy, empty=empty)

    forward = forward_untied
