"""Spearman's rank correlation."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, check_lists, in_runs, keep_nan, ratio
from rankgrad.metrics._modules import forward_untied
from rankgrad.metrics._pairs import shared_rank
from rankgrad.ops import RankFunction
from rankgrad.ops._arguments import real_items


def spearman(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    ranker: RankFunction = shared_rank,
    empty: Empty = 0.0,
) -> Tensor:
    """Pearson's correlation of the ranks of scores and of labels.

    ``sum_i (r_i - mean r) (q_i - mean q) / (|r - mean r| |q - mean q|)`` with ranks ``r`` of the scores and ``q`` of
    the labels, tied ones sharing the mean of theirs.

    Args:
        scores: higher is better.
        labels: what they should be in the order of.
        mask: True = a real item.
        ranker: of the scores; a soft one makes the metric differentiable in them.
        empty: the value where all scores or all labels are equal; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Spearman: The proof and measurement of association between two things, American Journal of Psychology 15, 1904.

    Example:
        >>> import torch
        >>> spearman(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([2, 3, 1]))
        tensor(0.5000)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        labels, _ = check_lists(scores, labels, mask)
        mask = real_items(scores, mask)
        ranks = ranker(scores, mask=mask)
        first, second = _centred(ranks, mask), _centred(shared_rank(labels, mask=mask), mask)
        product = first.square().sum(dim=-1) * second.square().sum(dim=-1)
        # The root's slope at 0 has no bound.
        root = product.masked_fill(product == 0, 1.0).sqrt().masked_fill(product == 0, 0.0)
        return keep_nan(ratio((first * second).sum(dim=-1), root, empty), ranks)

    return in_runs(values, scores, labels, mask, differentiable=ranker is not shared_rank)


def _centred(ranks: Tensor, mask: Tensor) -> Tensor:
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return (ranks - ranks.sum(dim=-1, keepdim=True) / count).masked_fill(~mask, 0.0)


class Spearman(nn.Module):
    """:func:`spearman` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> Spearman().name
        'Spearman'
    """

    def __init__(self, *, empty: Empty = 0.0) -> None:
        super().__init__()
        self.name = "Spearman"
        self.metric = partial(spearman, empty=empty)

    forward = forward_untied
