"""Probabilities of which most are exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import real_items
from rankgrad.ops._bounded import BoundedLists, bounded, marked


def sparsemax(x: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """The probabilities closest to ``x``: ``argmin_p sum_i (p_i - x_i)^2`` over all lists of probabilities.

    ``p_i = max(x_i - t, 0)``, t being such that they sum to 1. Exact, by a sort. The gradient is exact too: with S the
    items above 0 and g the upstream gradient, ``g_i - mean_S(g)`` on S and 0 elsewhere. It vanishes where one item
    stands 1 above all others and takes everything. A shift of ``x`` changes nothing; ``x / temperature`` is sharper.

    Args:
        x: logits. Of infinite ones ``-inf`` gets 0; those at ``+inf`` share all of it; neither takes a gradient. A list
            of ``-inf`` alone is shared evenly.
        mask: True = a real item; masked items get 0 and no gradient.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The probabilities; 0 throughout an all-masked list; NaN at every real item of a list in which a real item is
        NaN.

    Raises:
        InputError: for a mask of another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Martins, Astudillo: From softmax to sparsemax: a sparse model of attention and multi-label classification, ICML
        2016.

    Example:
        >>> sparsemax(torch.tensor([1.0, 0.5, -1.0]))
        tensor([0.7500, 0.2500, 0.0000])
    """
    lists = bounded(x, real_items(x, mask, "x"))
    if not x.shape[-1]:
        return marked(lists.values, lists)
    heights = _heights(lists, 1.0)
    ordered, numbers = _descending(heights)
    inside = 1 + numbers * ordered > ordered.cumsum(dim=-1)
    count = inside.sum(dim=-1, keepdim=True)
    level = (ordered.masked_fill(~inside, 0.0).sum(dim=-1, keepdim=True) - 1) / count
    chosen = heights.detach() > level
    level = (heights.masked_fill(~chosen, 0.0).sum(dim=-1, keepdim=True) - 1) / chosen.sum(dim=-1, keepdim=True)
    return marked((heights - level).masked_fill(~chosen, 0.0), lists)


def entmax15(x: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Between softmax and sparsemax: the probabilities that maximise ``sum_i p_i x_i + 4/3 sum_i (p_i - p_i^1.5)``.

    ``p_i = max(x_i / 2 - t, 0)^2``, t being such that they sum to 1. Exact, by a sort, whose rounding is mended by
    Newton's method. The gradient is exact too: with ``s_i = sqrt p_i``, 0 outside the support, and g the upstream
    gradient, ``s_i (g_i - sum_j s_j g_j / sum_j s_j)``. It vanishes where one item stands 2 above all others and takes
    everything; unlike sparsemax's it is continuous. A shift of ``x`` changes nothing; ``x / temperature`` is sharper.

    Args:
        x: logits. Of infinite ones ``-inf`` gets 0; those at ``+inf`` share all of it; neither takes a gradient. A list
            of ``-inf`` alone is shared evenly.
        mask: True = a real item; masked items get 0 and no gradient.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The probabilities; 0 throughout an all-masked list; NaN at every real item of a list in which a real item is
        NaN.

    Raises:
        InputError: for a mask of another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Peters, Niculae, Martins: Sparse sequence-to-sequence models, ACL 2019.

    Example:
        >>> entmax15(torch.tensor([1.0, 1.0, -1.0]))
        tensor([0.5000, 0.5000, 0.0000])
    """
    lists = bounded(x, real_items(x, mask, "x"))
    items = x.shape[-1]
    if not items:
        return marked(lists.values, lists)
    heights = _heights(lists, 0.5)
    ordered, numbers = _descending(heights)
    means = ordered.cumsum(dim=-1) / numbers
    squares = ordered.square().cumsum(dim=-1) - numbers * means.square()
    levels = means - ((1 - squares).clamp(min=0.0) / numbers).sqrt()
    count = (levels <= ordered).sum(dim=-1, keepdim=True).clamp(min=1)
    # The highest, at 1, gets at least its even share of what is to be given away.
    level = levels.gather(-1, count - 1).clamp(0.0, 1 - items**-0.5)
    for _ in range(2):
        level = _newton(level, heights.detach()).clamp(min=0.0)
    # The last step carries the gradient: by the implicit function theorem it is that of the level.
    level = _newton(level, heights).clamp(min=0.0)
    return marked((heights - level).clamp(min=0.0).square(), lists)


def _heights(lists: BoundedLists, scale: float) -> Tensor:
    """``scale x`` with the highest at 1, cut at 0, below which nothing is ever chosen."""
    values = lists.values
    # Of a list without a real item something must be computed, though nothing of it is kept.
    somebody = lists.real | ~lists.real.any(dim=-1, keepdim=True)
    peak = values.detach().masked_fill(~somebody, float("-inf")).amax(dim=-1, keepdim=True)
    return (1 + (values - peak) * scale).clamp(min=0.0).masked_fill(~somebody, 0.0)


def _descending(heights: Tensor) -> tuple[Tensor, Tensor]:
    """The heights sorted, without gradient, and how many there are up to each."""
    numbers = torch.arange(1, heights.shape[-1] + 1, device=heights.device, dtype=heights.dtype)
    return heights.detach().sort(dim=-1, descending=True).values, numbers


def _newton(level: Tensor, heights: Tensor) -> Tensor:
    """A step towards the level at which the squares of what stands out sum to 1."""
    above = (heights - level).clamp(min=0.0)
    slope = 2 * above.detach().sum(dim=-1, keepdim=True)
    return level + (above.square().sum(dim=-1, keepdim=True) - 1) / slope
