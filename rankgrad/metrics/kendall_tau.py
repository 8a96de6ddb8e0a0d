"""Kendall's rank correlation."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, in_runs, keep_nan, ratio
from rankgrad.metrics._modules import forward_untied
from rankgrad.metrics._pairs import ranked_pairs, shared_rank
from rankgrad.ops import RankFunction


def kendall_tau(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ranker: RankFunction = shared_rank,
    empty: Empty = 0.0,
) -> Tensor:
    """Kendall's tau-b of scores and labels: 1 in the same order, -1 in the reverse.

    ``tau_b = (C - D) / sqrt((C + D + T) (C + D + U))`` with C pairs in the same order, D in the reverse, T tied in the
    scores alone and U in the labels alone. That is ``sum a b / sqrt(sum a^2 sum b^2)`` over the pairs with the signs
    ``a`` of the ranks' and ``b`` of the labels' differences; with a soft ranker ``a = clamp(r_j - r_i, -1, 1)``. Pairs
    are looked at 256 items against a list at a time.

    Args:
        scores: higher is better.
        labels: what they should be in the order of.
        mask: True = a real item.
        ranker: a soft one makes the metric differentiable in the scores.
        empty: the value where all scores or all labels are equal; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Kendall: The treatment of ties in ranking problems, Biometrika 33, 1945.

    Example:
        >>> import torch
        >>> kendall_tau(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([2, 3, 1]))
        tensor(0.3333)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        ranks, runs = ranked_pairs(scores, labels, mask, ranker)
        zero = ranks.sum(dim=-1) * 0
        together, of_scores, of_labels = zero, zero, zero.detach()
        for ahead, wanted, _ in runs():
            together = together + (ahead * wanted).sum(dim=(-2, -1))
            of_scores = of_scores + ahead.square().sum(dim=(-2, -1))
            of_labels = of_labels + wanted.square().sum(dim=(-2, -1))
        # The root's slope at 0 has no bound.
        product = of_scores * of_labels
        root = product.masked_fill(product == 0, 1.0).sqrt().masked_fill(product == 0, 0.0)
        return keep_nan(ratio(together, root, empty), ranks)

    return in_runs(values, scores, labels, mask, differentiable=ranker is not shared_rank)


class KendallTau(nn.Module):
    """:func:`kendall_tau` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> KendallTau().name
        'Kendall tau-b'
    """

    def __init__(self, *, empty: Empty = 0.0) -> None:
        super().__init__()
        self.name = "Kendall tau-b"
        self.metric = partial(kendall_tau, empty=empty)

    forward = forward_untied
