"""Exact ranks and orders."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import sorted_order
from rankgrad.ops._arguments import accumulate, real_items
from rankgrad.ops._order import stable_order

Ties: TypeAlias = Literal["lowest_index", "average", "random"]


class RankFunction(Protocol):
    """From scores to 1-based ranks, 0 at masked items: :func:`hard_rank`, or a soft rank with its options bound."""

    def __call__(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor: ...


def hard_rank(
    x: Tensor,
    *,
    mask: Tensor | None = None,
    descending: bool = True,
    ties: Ties = "lowest_index",
    generator: torch.Generator | None = None,
) -> Tensor:
    """1-based ranks of the last axis.

    ``rank_i = 1 + #{j real: x_j > x_i} + #{j real, j before i: x_j = x_i}`` (``<`` for ascending). Who of equal values
    is before whom, ``ties`` says: ``"lowest_index"``, the lower index; ``"random"``, chance, each order of them being
    as likely. With ``"average"`` equal values share the mean of their ranks, which Spearman's correlation wants. The
    ranks carry no gradient.

    Args:
        x: values to rank.
        mask: True = a real item; masked items get rank 0 and count for nobody.
        descending: rank 1 is the highest value, else the lowest.
        ties: ``"lowest_index"``, ``"average"`` or ``"random"``.
        generator: of ``"random"``; None = torch's global one. ``torch.compile`` takes None only.

    Shape:
        ``[..., items]``, float32 (float64 for float64). Exact in float32 for lists of up to 2^24 items, the halves of
        ``"average"`` up to 2^23.

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for a mask of another shape, an unknown rule, or a generator with a rule that is not random.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Example:
        >>> x = torch.tensor([0.1, 0.9, 0.9, 5.0])
        >>> mask = torch.tensor([True, True, True, False])
        >>> hard_rank(x, mask=mask), hard_rank(x, mask=mask, ties="average")
        (tensor([3., 1., 2., 0.]), tensor([3.0000, 1.5000, 1.5000, 0.0000]))
    """
    if ties not in ("lowest_index", "average", "random"):
        raise InputError(f'ties: expected "lowest_index", "average" or "random", got {ties!r}')
    if generator is not None and ties != "random":
        raise InputError(f'generator: expected None with ties="{ties}", which draws nothing')
    given, mask = mask, real_items(x, mask, "x")
    if ties == "lowest_index" and x.is_floating_point() and sorted_order.kernels_run(x):
        return sorted_order.ranks(x, given, descending=descending)
    values = accumulate(x, "x").detach().masked_fill(~mask, 0.0)
    if ties == "random":
        order = _shuffled(values, generator)
        order = order.gather(-1, stable_order(values.gather(-1, order), descending=descending))
    else:
        order = stable_order(values, descending=descending)
    # Counting real items along the order, not positions, keeps a masked item from taking a rank.
    counted = mask.gather(-1, order)
    counts = counted.cumsum(dim=-1)
    if ties == "average":
        along = mean_ranks(values.gather(-1, order), counts - counted.to(counts.dtype), counts)
    else:
        along = counts.to(values.dtype)
    ranks = torch.zeros_like(values).scatter(-1, order, along)
    ranks = ranks.masked_fill(values.isnan().any(dim=-1, keepdim=True), float("nan"))
    return ranks.masked_fill(~mask, 0.0)


def ideal_order(labels: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """The order in which labels fall: ``labels.gather(-1, ideal_order(labels))`` is sorted, highest first.

    Among equal labels the lower index comes first; masked items come last, in their order. A label that is NaN counts
    as the highest.

    Args:
        labels: of any dtype.
        mask: True = a real item.

    Shape:
        ``[..., items]`` -> ``[..., items]`` int64.

    Raises:
        InputError: for a mask of another shape.
        TypeError: for a mask that is not bool.

    Example:
        >>> ideal_order(torch.tensor([1, 3, 0, 3]), mask=torch.tensor([False, True, True, True]))
        tensor([1, 3, 2, 0])
    """
    mask = real_items(labels, mask, "labels")
    keys = labels.detach().byte() if labels.dtype == torch.bool else labels.detach()
    return sorted_order.order(keys, mask)


def _shuffled(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """An order of each list, drawn at random."""
    device = like.device if generator is None else generator.device
    return torch.randint(1 << 62, like.shape, generator=generator, device=device).to(like.device).argsort(dim=-1)


def mean_ranks(ordered: Tensor, before: Tensor, until: Tensor) -> Tensor:
    """The mean of the ranks in each run of equal values.

    Args:
        ordered: sorted lists.
        before: how many real items are before each.
        until: how many there are up to each and with it.

    Example:
        >>> places = torch.arange(4)
        >>> mean_ranks(torch.tensor([9.0, 2.0, 2.0, 1.0]), places, places + 1)
        tensor([1.0000, 2.5000, 2.5000, 4.0000])
    """
    changes = ordered[..., 1:] != ordered[..., :-1]
    edge = torch.ones_like(ordered[..., :1], dtype=torch.bool)
    # Counts never fall along the order, so a run's are its edge's carried on.
    first = before.where(torch.cat([edge, changes], dim=-1), 0).cummax(dim=-1).values + 1
    last = until.where(torch.cat([changes, edge], dim=-1), ordered.shape[-1])
    return (first + last.flip(-1).cummin(dim=-1).values.flip(-1)).to(ordered.dtype) / 2
