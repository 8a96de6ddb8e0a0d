"""Where the first relevant item is found, among tied ones by chance."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import pad

from rankgrad.metrics._ranked import RankedLists


def first_relevant(lists: RankedLists, relevant: Tensor, weight: Callable[[Tensor], Tensor]) -> Tensor:
    """``weight(rank)`` of the first relevant item, 0 without one; its mean over all orders of tied items.

    Args:
        lists: in any order.
        relevant: True = relevant, at real items.
        weight: falls with the rank.

    Shape:
        relevant ``[..., items]`` -> ``[...]``.
    """
    if lists.ties is None:
        # A padding column lets a list without items have a maximum.
        return pad(lists.weights(weight).where(relevant, 0.0), (0, 1)).amax(dim=-1)
    _, inside, size, place = tied_counts(lists, relevant)
    # Drawn without replacement: the chance of a relevant item at a place, none of its run having come before.
    chances = (inside / (size - place)).clamp(max=1.0)
    missed = pad((1 - chances).cumprod(dim=-1), (1, 0), value=1.0)[..., :-1]
    return (weight(lists.ranks) * missed * chances).sum(dim=-1)


def tied_counts(lists: RankedLists, relevant: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each place of sorted lists: relevant items before its run, and in it; the run's size; the place in it.

    Shape:
        relevant ``[..., items]`` -> four of it; places count from 0.
    """
    if lists.ties is None:
        raise ValueError("lists: expected runs of tied items; rank them with ties='average'")
    first, last = lists.ties
    dtype = lists.labels.dtype
    counts = pad(relevant.cumsum(dim=-1), (1, 0))
    before = counts.gather(-1, first)
    inside = counts.gather(-1, last + 1) - before
    place = lists.ranks.to(dtype) - 1 - first
    return before.to(dtype), inside.to(dtype), (last + 1 - first).to(dtype), place
