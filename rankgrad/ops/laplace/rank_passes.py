"""Laplace ranks and their gradient, whatever adds up the running sums. ``docs/ops/laplace.md`` derives both."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops.laplace.lists import Scan, SortedLists, mark, mark_gradient


def ranks(lists: SortedLists, scan: Scan, values: Tensor, mask: Tensor | None) -> Tensor:
    """Ranks ``[lists, n]``: an item's place, corrected by how far others reach across it."""
    up, down = scan.neighbours()
    places = down.sub_(up).div_(2).add_(lists.places)
    return mark(lists.unsort(places), values, mask).to(accumulation_dtype(values=values))


def gradient(
    lists: SortedLists, scan: Scan, values: Tensor, mask: Tensor | None, temperature: float, upstream: Tensor
) -> Tensor:
    """``sum_i exp(-|x_i - x_j| / T) (g_i - g_j) / 2T``.

    Sums of differences, so that what is common to all g cancels before it is rounded.
    """
    up, down = scan.neighbours()
    received = lists.masked(upstream.gather(1, lists.order).to(up.dtype))
    steps = received.diff(dim=1)
    up, down = scan.sums(up.mul_(pad(-steps, (1, 0))), down.mul_(pad(steps, (0, 1))))
    return mark_gradient(lists.unsort(up.add_(down).div_(2 * temperature)), values, mask)
