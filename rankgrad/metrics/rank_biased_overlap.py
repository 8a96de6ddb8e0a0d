"""Rank-biased overlap of two rankings."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.metrics._lists import check_cut, in_runs, keep_nan
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import accumulate, check_device, real_items


def rank_biased_overlap(
    scores: Tensor,
    others: Tensor,
    mask: Tensor | None = None,
    other_mask: Tensor | None = None,
    *,
    k: int | None = None,
    persistence: float = 0.9,
    extrapolate: bool = True,
    ranker: RankFunction = hard_rank,
) -> Tensor:
    """How much two rankings have in common, the top weighing most; they may be of different items and lengths.

    With ``X_d`` the number of items among the first d of both, lengths ``s <= l`` and persistence p,
    ``RBO = (1 - p) sum_{d <= l} p^(d - 1) A_d + p^l A_l`` where ``A_d = X_d / d``, and beyond s, where the shorter
    ranking is taken to go on as it began, ``A_d = (X_d + X_s (d - s) / s) / d``. Without ``extrapolate`` the least
    that any continuation of both can make of it, ``(1 - p) / p (sum_{d <= l} (X_d - X_l) p^d / d - X_l ln(1 - p))``.
    Ties: the lowest index ranks first. With a soft ranker ``X_d = sum_i clamp(d + 1 - m_i, 0, 1)`` with the greater
    ``m_i`` of an item's two ranks.

    Args:
        scores: of the one ranking over the items of both, higher is better.
        others: of the other.
        mask: True = an item of the one ranking; None = every item.
        other_mask: True = an item of the other ranking; None = the same as ``mask``.
        k: look at the first k of both; None = all.
        persistence: p, between 0 and 1; about ``1 / (1 - p)`` ranks matter.
        extrapolate: suppose that the overlap goes on beyond the lists as within them.
        ranker: a soft one makes the metric differentiable in both scores.

    Shape:
        ``[..., items]`` each -> ``[...]``, float32 (float64 for float64 scores).

    Returns:
        One value a pair of rankings, 0 where one has no item; NaN where a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a persistence outside (0, 1).
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Webber, Moffat, Zobel: A similarity measure for indefinite rankings, ACM TOIS 28(4), 2010.

    Example:
        >>> scores, others = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([4.0, 1.0, 3.0, 2.0])
        >>> first, second = torch.tensor([True, True, True, False]), torch.tensor([True, False, True, True])
        >>> rank_biased_overlap(scores, others, first, second)
        tensor(0.6850)
    """
    check_cut(k)
    if not 0 < persistence < 1:
        raise InputError(f"persistence: expected a number between 0 and 1, got {persistence}")
    if others.shape != scores.shape:
        raise InputError(f"others: expected the shape of scores {list(scores.shape)}, got {list(others.shape)}")
    check_device(others, "others", scores, "scores")

    def values(scores: Tensor, others: Tensor, mask: Tensor | None, other_mask: Tensor | None) -> Tensor:
        dtype = accumulate(scores, "scores").dtype
        others = accumulate(others, "others").to(dtype)
        mask = real_items(scores, mask)
        other_mask = mask if other_mask is None else real_items(others, other_mask, "others")
        ranks, other_ranks = ranker(scores, mask=mask), ranker(others, mask=other_mask)
        lengths = [each.sum(dim=-1) if k is None else each.sum(dim=-1).clamp(max=k) for each in (mask, other_mask)]
        short, long = lengths[0].minimum(lengths[1]), lengths[0].maximum(lengths[1])
        deeper = ranks.maximum(other_ranks).masked_fill(~(mask & other_mask), scores.shape[-1] + 2.0)
        value = _overlap(deeper, short, long, persistence, extrapolate=extrapolate)
        return keep_nan(keep_nan(value.masked_fill(short == 0, 0.0), ranks), other_ranks)

    return in_runs(values, scores, others, mask, other_mask, differentiable=ranker is not hard_rank)


def _overlap(deeper: Tensor, short: Tensor, long: Tensor, p: float, *, extrapolate: bool) -> Tensor:
    """The sums over depths as sums over items, each counting from the greater of its ranks on.

    ``H(d) = sum_{e <= d} p^e / e`` and ``G(d) = sum_{e <= d} p^e``, so ``sum_{d <= l} X_d p^d / d`` is the sum over the
    items in both of ``H(l) - H(m_i - 1)``.
    """
    depths = torch.arange(1, deeper.shape[-1] + 3, device=deeper.device, dtype=torch.float64)
    powers = p**depths
    harmonic = pad((powers / depths).cumsum(dim=-1), (1, 0)).to(deeper.dtype)
    geometric = pad(powers.cumsum(dim=-1), (1, 0)).to(deeper.dtype)
    whole, begun = _at(harmonic, long), _interpolated(harmonic, deeper - 1)
    both = _within(deeper, long)
    seen = (whole.unsqueeze(-1) - begun).clamp(min=0.0).sum(dim=-1)
    if not extrapolate:
        log = torch.log1p(torch.full_like(whole, -p))
        return (1 - p) / p * (seen - both * whole - both * log)
    shared, depth = _within(deeper, short), short.clamp(min=1)
    rate = shared / depth
    grown = rate * (_at(geometric, long) - _at(geometric, short) - short * (whole - _at(harmonic, short)))
    last = (both + rate * (long - short)) / long.clamp(min=1)
    return (1 - p) / p * (seen + grown) + torch.full_like(whole, p) ** long * last


def _within(deeper: Tensor, depth: Tensor) -> Tensor:
    return (depth.unsqueeze(-1) + 1 - deeper).clamp(0.0, 1.0).sum(dim=-1)


def _at(table: Tensor, places: Tensor) -> Tensor:
    return table.expand(*places.shape, -1).gather(-1, places.unsqueeze(-1)).squeeze(-1)


def _interpolated(table: Tensor, places: Tensor) -> Tensor:
    """The table at real places, by straight lines between whole ones."""
    places = places.clamp(0.0, table.shape[-1] - 1.0)
    # A list with a NaN is NaN whatever its places say.
    below = places.detach().nan_to_num().floor().long().clamp(max=table.shape[-1] - 2)
    rows = table.expand(*places.shape[:-1], -1)
    low, high = rows.gather(-1, below), rows.gather(-1, below + 1)
    return low + (places - below) * (high - low)


class RankBiasedOverlap(nn.Module):
    """:func:`rank_biased_overlap` with its options held.

    Example:
        >>> RankBiasedOverlap().name
        'RBO(0.9)'
    """

    def __init__(self, k: int | None = None, *, persistence: float = 0.9, extrapolate: bool = True) -> None:
        super().__init__()
        self.name = f"RBO({persistence:g})" if k is None else f"RBO({persistence:g})@{k}"
        self.metric = partial(rank_biased_overlap, k=k, persistence=persistence, extrapolate=extrapolate)

    def forward(
        self,
        scores: Tensor,
        others: Tensor,
        mask: Tensor | None = None,
        other_mask: Tensor | None = None,
        *,
        ranker: RankFunction | None = None,
    ) -> Tensor:
        return self.metric(scores, others, mask, other_mask, ranker=ranker or hard_rank)
