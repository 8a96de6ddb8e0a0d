"""Losses of pairs and their gradient in one pass over tiles, each pair once, on any device.

Lists are sorted by score. A pair then is a higher item i and a lower one j with ``u = s_i - s_j >= 0``; it costs
``a f(u) + b f(-u)``, ``a`` and ``b`` the weights of preferring i and j. For the logistic ``f(-u) = f(u) + u``, so one
exponential and one logarithm serve both. ``docs/losses.md`` derives it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import full_precision
from rankgrad.ops.pairwise_loss.ordered import Sorted, finish, sort
from rankgrad.ops.pairwise_loss.reference import PairOptions, place_weights

_ROWS = 32
_ELEMENTS = {"cpu": 1 << 17}
_ELEMENTS_ELSEWHERE = 1 << 24


def losses(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    weights: Tensor | None,
    options: PairOptions,
    *,
    gradient: bool,
) -> tuple[Tensor, Tensor]:
    """One value a list, and its gradient ``[lists, n]`` (empty where it is not asked for)."""
    count, n = scores.shape
    values = scores.new_zeros(count)
    slopes = scores.new_zeros((count, n if gradient else 0))
    if not scores.numel():
        return values, slopes
    lists = sort(scores, keys, mask, weights)
    rows = min(_ROWS, n)
    last = min(options.k, n) if options.k else n
    step = max(1, _ELEMENTS.get(scores.device.type, _ELEMENTS_ELSEWHERE) // (rows * n))
    with full_precision(scores.device):
        for start in range(0, last, rows):
            near, far = slice(start, min(start + rows, last)), slice(start, n)
            places = _places(near, far, options, scores)
            for first in range(0, count, step):
                _add_tile(lists, slice(first, first + step), near, far, places, options, values, slopes)
    return finish(values, slopes, lists, scores, mask)


def _places(near: slice, far: slice, options: PairOptions, like: Tensor) -> Tensor:
    """What a pair of places weighs ``[near, far]``; 0 unless the second is the lower one."""
    ranks = torch.arange(1, far.stop + 1, device=like.device, dtype=torch.float64)
    higher, lower = ranks[near].unsqueeze(1), ranks[far].unsqueeze(0)
    below = (lower > higher).to(like.dtype)
    return below * place_weights(higher, lower, options).to(like.dtype) if options.swap or options.gap else below


def _add_tile(
    lists: Sorted,
    some: slice,
    near: slice,
    far: slice,
    places: Tensor,
    options: PairOptions,
    values: Tensor,
    slopes: Tensor,
) -> None:
    """Add to values and slopes what the pairs of ``near`` and ``far`` items of some lists give."""
    scores, keys, real = lists.scores[some], lists.keys[some], lists.real[some, far].unsqueeze(1)
    below = scores[:, far].unsqueeze(1) - scores[:, near].unsqueeze(2)
    rows = near.stop - near.start
    below[:, :, :rows].clamp_(max=0.0)
    both, wrong = _amounts(keys[:, near].unsqueeze(2), keys[:, far].unsqueeze(1), places, options)
    if lists.weights is not None:
        right = (both - wrong).mul_(lists.weights[some, near].unsqueeze(2))
        wrong = wrong.mul_(lists.weights[some, far].unsqueeze(1))
        both = right.add_(wrong)
    wanted = slopes.shape[1] > 0
    if options.link == "hinge":
        both = both.sub_(wrong)
        inside = (below + options.margin).clamp_(min=0.0)
        pull = torch.addcmul(wrong, both, inside.sign(), value=-1) if wanted else wrong
        costs = inside.mul_(both).addcmul_(wrong, below.neg_().add_(options.margin))
    else:
        exponential = below.exp()
        costs = exponential.log1p().mul_(both).addcmul_(wrong, below, value=-1)
        # The sigmoid of both signs without another exponential.
        pull = wrong.addcmul_(both, exponential.div_(exponential + 1), value=-1) if wanted else wrong
    values[some] += torch.bmm(real, costs.transpose(1, 2)).sum(dim=(1, 2))
    if wanted:
        slopes[some, near] += torch.bmm(real, pull.transpose(1, 2)).squeeze(1)
        slopes[some, far] -= pull.sum(dim=1).mul_(real.squeeze(1))


def _amounts(own: Tensor, other: Tensor, places: Tensor, options: PairOptions) -> tuple[Tensor, Tensor]:
    """The weights of preferring the higher item or the lower one, added up; and of the lower one alone."""
    if options.pairs == "each":
        return (own + other).mul_(places), other * places
    differences = own - other
    if options.pairs == "order":
        differences.sign_()
    differences.mul_(places)
    return differences.abs(), differences.neg_().clamp_(min=0.0)
