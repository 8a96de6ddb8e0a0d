"""Differentiable ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_positive, real_items
from rankgrad.ops._dispatch import Backend, resolve_backend

_TILE_ELEMENTS = 1 << 16


def soft_rank(
    x: Tensor,
    *,
    temperature: float,
    method: Literal["sigmoid"] = "sigmoid",
    descending: bool = True,
    mask: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """1-based ranks that change smoothly with the values.

    ``rank_i = 1 + sum_{j real, j != i} sigmoid((x_j - x_i) / temperature)``, with the sign turned for ascending ranks.
    The ranks of a list of n sum to ``n (n + 1) / 2`` at any temperature; tied values share the mean of their ranks; as
    the temperature goes to 0 the ranks of distinct values become :func:`hard_rank`'s, to within ``n exp(-gap /
    temperature)``. Time is O(n^2); memory O(n): tiles are summed and dropped, and made again in the backward pass.

    Args:
        x: values to rank. Infinite values rank beyond all finite ones.
        temperature: softness, in the units of ``x``; above 0.
        method: ``"sigmoid"``.
        descending: rank 1 is the highest value, else the lowest.
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        backend: ``"auto"`` tiles, except while compiling or exporting; ``"reference"`` holds the n x n matrix.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN. The tiled form is once differentiable.

    Raises:
        InputError: for a temperature not above 0, an unknown method or backend, or a mask of another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Qin, Liu, Li: A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 13, 2010.

    Example:
        >>> soft_rank(torch.tensor([3.0, 1.0, 1.0]), temperature=0.1)
        tensor([1.0000, 2.5000, 2.5000])
    """
    if method != "sigmoid":
        raise InputError(f'method: expected "sigmoid", got {method!r}')
    check_positive(temperature, "temperature")
    mask = real_items(x, mask, "x")
    scaled = accumulate(x, "x") / (temperature if descending else -temperature)
    # Bounded real values lie so far above the masked ones that a masked item's sigmoid is exactly 0, and inf - inf
    # never is.
    limits = torch.finfo(scaled.dtype)
    scaled = scaled.clamp(limits.min / 4, limits.max / 4).masked_fill(~mask, limits.min)
    if resolve_backend(backend, x.device, op="soft_rank") == "reference" or x.numel() == 0:
        ranks = _reference(scaled)
    else:
        ranks = _TiledSigmoidRank.apply(scaled)
    return ranks.masked_fill(~mask, 0.0)


def _reference(scaled: Tensor) -> Tensor:
    """The definition: adding every j and taking away the 1/2 of j = i leaves no diagonal to single out."""
    return 0.5 + (scaled.unsqueeze(-2) - scaled.unsqueeze(-1)).sigmoid().sum(dim=-1)


def _tiles(rows: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """(lists, items, sigmoids of those items' differences to the whole list ``[lists, items, n]``), tile by tile."""
    lists, n = rows.shape
    list_step = max(1, min(lists, _TILE_ELEMENTS // max(n, 1)))
    item_step = max(1, _TILE_ELEMENTS // max(list_step * n, 1))
    for list_start in range(0, lists, list_step):
        block = rows[list_start : list_start + list_step]
        for start in range(0, n, item_step):
            items = slice(start, start + item_step)
            differences = block.unsqueeze(1) - block[:, items].unsqueeze(2)
            yield slice(list_start, list_start + list_step), items, differences.sigmoid_()


class _TiledSigmoidRank(torch.autograd.Function):
    """Row blocks of the pairwise matrix, one at a time; ``docs/ops/soft_rank.md`` derives the backward pass."""

    @staticmethod
    def forward(ctx: Any, scaled: Tensor) -> Tensor:
        ctx.save_for_backward(scaled)
        ranks = torch.empty_like(scaled, memory_format=torch.contiguous_format)
        flat = ranks.view(-1, ranks.shape[-1])
        for lists, items, sigmoids in _tiles(scaled.reshape(flat.shape)):
            flat[lists, items] = sigmoids.sum(dim=-1) + 0.5
        return ranks

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ranks: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        grad = torch.empty_like(scaled, memory_format=torch.contiguous_format)
        flat, upstream = grad.view(-1, grad.shape[-1]), grad_ranks.reshape(-1, grad.shape[-1])
        for lists, items, sigmoids in _tiles(scaled.reshape(flat.shape)):
            slopes = sigmoids.addcmul_(sigmoids, sigmoids, value=-1)
            received = slopes @ upstream[lists].unsqueeze(-1)
            flat[lists, items] = received.squeeze(-1) - upstream[lists, items] * slopes.sum(dim=-1)
        return grad
