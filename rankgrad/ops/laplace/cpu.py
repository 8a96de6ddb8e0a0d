"""Sorting and running sums on a CPU, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._order import stable_order
from rankgrad.ops.laplace.lists import Scan, SortedLists, in_order, next_of, sorting_keys
from rankgrad.ops.scans.recurrence import recurrence

# Exponents of which sums of exponentials, of both signs, lie well within float64.
_WIDEST = 300.0


def sort(values: Tensor, mask: Tensor | None, temperature: Tensor, known_order: Tensor | None) -> SortedLists:
    """Lists ``[lists, n]`` in descending order."""
    found = stable_order(sorting_keys(values, mask), descending=True) if known_order is None else known_order.long()
    return in_order(values, mask, temperature, found, torch.float64)


def scanner(lists: SortedLists) -> Scan:
    """Running sums over lists.

    Where a list spans no more than 600 temperatures, ``exp`` of the distance from its middle turns the recurrence into
    a cumulative sum; every sum is dominated by its last terms, so that none loses digits. Wider lists are cut to
    blocks, of which a loop adds up one item of each at a time.
    """
    distance = (lists.points[:, :1] - lists.points).div_(lists.temperature)
    span = distance[:, -1:]
    if bool((span <= 2 * _WIDEST).all()):
        return _narrow(lists, distance.sub_(span / 2).exp_())
    return _wide(lists.factors())


def _narrow(lists: SortedLists, growth: Tensor) -> Scan:
    def neighbours() -> tuple[Tensor, Tensor]:
        up, down = torch.zeros_like(growth), torch.zeros_like(growth)
        torch.div(growth.cumsum(dim=1)[:, :-1], growth[:, 1:], out=up[:, 1:])
        reach = lists.masked(growth.reciprocal()).flip(1).cumsum(dim=1).flip(1)
        torch.mul(reach[:, 1:], growth[:, :-1], out=down[:, :-1])
        return up, down

    def sums(above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        up = (above * growth).cumsum(dim=1).div_(growth)
        return up, (below / growth).flip(1).cumsum(dim=1).flip(1).mul_(growth)

    return Scan(neighbours, sums)


def _wide(factors: Tensor) -> Scan:
    following = next_of(factors)
    both = torch.cat([factors, following.flip(1)])

    def sums(above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        up, down = recurrence(both, torch.cat([above, below.flip(1)])).chunk(2)
        return up, down.flip(1)

    return Scan(lambda: sums(factors, following), sums)
