"""Thresholds, weights of a selection, and their gradients. ``docs/ops/laplace.md`` derives them."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate, accumulation_dtype
from rankgrad.ops.laplace.lists import Scan, SortedLists, mark, mark_gradient
from rankgrad.ops.laplace.reference import distribution
from rankgrad.ops.laplace.solution import Solution, knots, solve
from rankgrad.ops.pairwise_rank.reference import bound

# Where nothing lies near a threshold it jumps with the count; its slope is cut to what stays finite.
_LEAST_ROOT = 1e-30
_STEP = 1 << 13


def locate(lists: SortedLists, scan: Scan, counts: Tensor) -> Solution:
    """The thresholds of ``counts [lists, m]``."""
    up, down = scan.neighbours()
    counts = counts.to(up.dtype)
    place = torch.searchsorted(knots(lists, up, down), counts.contiguous(), right=True)
    factors = lists.factors()
    if counts.device.type != "cpu" or counts.shape[1] <= _STEP:
        return solve(lists, factors, up, down, counts, place)
    # As many at a time as a processor's cache holds with all that is computed of them.
    parts = (
        solve(lists, factors, up, down, *part)
        for part in zip(counts.split(_STEP, dim=1), place.split(_STEP, dim=1), strict=True)
    )
    return Solution(*(torch.cat(fields, dim=1) for fields in zip(*parts, strict=True)))


def thresholds(lists: SortedLists, scan: Scan, values: Tensor, mask: Tensor | None, counts: Tensor) -> Tensor:
    """Thresholds ``[lists, m]``; 0 of a list without a real item, NaN of one with a NaN."""
    found = locate(lists, scan, counts).value(lists.temperature)
    if lists.real is not None:
        found = found.masked_fill(~lists.real[:, :1], 0.0)
    return _mark_lists(found, values, mask).to(accumulation_dtype(values=values))


def thresholds_gradient(
    lists: SortedLists, scan: Scan, values: Tensor, mask: Tensor | None, counts: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the values, of the counts ``[lists, m]`` and of the temperature ``[lists]``.

    A threshold moves with the items as a softmax of their distances, which decays from the items next to it: what it
    received is left with these, and running sums hand it on.
    """
    found = locate(lists, scan, counts)
    received = upstream.to(found.anchor.dtype).masked_fill(~found.inside, 0.0)
    left_above, left_below = _collect(found.place, received * found.above, received * found.below, values.shape[1])
    up, down = scan.sums(left_below, left_above)
    of_values = lists.masked(up.add_(down))
    # A threshold is as many times itself as values and temperature are, and moves with the values where all move alike.
    centre = lists.points[:, :1].double()
    moved = (received * (found.value(lists.temperature).where(found.inside, 0.0) - centre)).sum(dim=1)
    of_temperature = (moved - (of_values * (lists.points - centre)).sum(dim=1)) / lists.temperature[:, 0].double()
    of_counts = -received * lists.temperature / found.root.clamp(min=_LEAST_ROOT)
    of_values = mark_gradient(lists.unsort(of_values), values, mask)
    dtype = accumulation_dtype(values=values)
    marked = (_mark_lists(x, values, mask).to(dtype) for x in (of_counts, of_temperature.unsqueeze(1)))
    of_counts, of_temperature = marked
    return of_values, of_counts, of_temperature.squeeze(1)


def distances(lists: SortedLists, scan: Scan, values: Tensor, counts: Tensor) -> Tensor:
    """``(x - threshold) / temperature``, ``[lists, n]``, for one count a list."""
    wide = accumulate(values, "values")
    limit = bound(wide.dtype)
    x = wide.nan_to_num(nan=0.0).clamp(-limit, limit).to(lists.points.dtype)
    found = locate(lists, scan, counts.unsqueeze(1)).distances(x, lists.temperature)
    return found.to(wide.dtype)


def weights(values: Tensor, mask: Tensor | None, distance: Tensor) -> Tensor:
    """The distribution function of the distances."""
    return mark(distribution(distance), values, mask)


def weights_gradient(
    values: Tensor, mask: Tensor | None, temperature: Tensor, distance: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the values, of the count ``[lists]`` and of the temperature ``[lists]``.

    With ``f = exp(-|z|) / 2T`` and q its share of the list's sum, ``f (g - sum q g)``, ``sum q g``, and, since weights
    do not change where all is stretched about the threshold, ``-sum z f (g - sum q g)``.
    """
    away = distance.abs() if mask is None else distance.abs().masked_fill(~mask, float("inf"))
    moves = away.isfinite()
    # Lists that are wholly in or out have no distances.
    nearest, place = away.min(dim=1, keepdim=True)
    shares = (nearest.nan_to_num(posinf=0.0) - away).exp()
    shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1)
    received = upstream.masked_fill(~moves, 0.0)
    # Seen from the nearest item's, since its share may be nearly 1 and what it pulls itself with must cancel.
    centre = received.gather(1, place)
    received = received - centre
    mean = (shares * received).sum(dim=1, keepdim=True)
    pulled = (-away).exp() / 2 * (received - mean)
    mean = mean + centre
    of_values = mark_gradient(pulled / temperature.unsqueeze(1), values, mask)
    of_temperature = -(pulled * distance.where(moves, 0.0)).sum(dim=1, keepdim=True) / temperature.unsqueeze(1)
    return of_values, _mark_lists(mean, values, mask).squeeze(1), _mark_lists(of_temperature, values, mask).squeeze(1)


def _mark_lists(x: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    unknown = values.isnan() if mask is None else values.isnan() & mask
    return x.masked_fill(unknown.any(dim=-1, keepdim=True), float("nan"))


def _collect(place: Tensor, above: Tensor, below: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """What is left at each item: ``above`` at the item before a place, ``below`` at that after it; ``[lists, n]`` each.

    Added up in the order of the places, so that results repeat bit for bit.
    """
    # Rising counts have rising places.
    if place.device.type != "cpu" or bool((place.diff(dim=1) < 0).any()):
        place, order = place.sort(dim=1, stable=True)
        above, below = above.gather(1, order), below.gather(1, order)
    lengths = torch.zeros((len(place), n + 1), dtype=torch.int64, device=place.device)
    lengths.scatter_add_(1, place, torch.ones_like(place))
    left = (torch.segment_reduce(x.contiguous(), "sum", lengths=lengths, axis=1, unsafe=True) for x in (above, below))
    above, below = left
    return above[:, 1:].contiguous(), below[:, :-1].contiguous()
