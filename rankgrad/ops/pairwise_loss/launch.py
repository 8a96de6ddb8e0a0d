"""From lists to a kernel launch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of
from rankgrad.ops.pairwise_loss.ordered import finish, sort
from rankgrad.ops.pairwise_loss.reference import PairOptions, place_weights

_TILE_ELEMENTS = 1 << 11


def losses(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    weights: Tensor | None,
    options: PairOptions,
    *,
    gradient: bool,
) -> tuple[Tensor, Tensor]:
    """One value a list, and its gradient ``[lists, n]`` (empty where it is not asked for), in float32."""
    from rankgrad.ops.pairwise_loss import kernels

    kernel: Any = kernels._pairwise_loss_kernel
    count, items = scores.shape
    lists = sort(scores, keys, mask, weights)
    values, slopes = torch.empty_like(lists.scores), torch.empty_like(lists.scores)
    if scores.numel():
        side = 32 if -items % 32 <= items // 8 else 16
        each, item_tiles = _TILE_ELEMENTS // side**2, -(-items // side)
        places = bool(options.swap or options.gap)
        discounts, gaps = _places(items, options, scores) if places else (None, None)
        on_device_of(scores, kernel, (-(-count // each) * item_tiles,))(
            lists.scores.contiguous(),
            lists.keys.contiguous(),
            None if lists.weights is None else lists.weights.contiguous(),
            lists.real.sum(dim=1).to(torch.int32),
            discounts,
            gaps,
            values,
            slopes,
            count,
            items,
            item_tiles,
            options.margin,
            options.k or items,
            HINGE=options.link == "hinge",
            DIFFERENCE=options.pairs == "difference",
            EACH=options.pairs == "each",
            PLACES=places,
            WEIGHTED=weights is not None,
            LISTS=each,
            ITEMS=side,
            num_warps=4,
        )
    slopes = slopes if gradient else slopes[:, :0]
    return finish(values.sum(dim=1), slopes, lists, scores, mask)


def _places(items: int, options: PairOptions, like: Tensor) -> tuple[Tensor, Tensor]:
    """(what a place counts in the swap's term; what a distance of places weighs), each in float32."""
    ranks = torch.arange(1, items + 1, device=like.device, dtype=torch.float64)
    gaps = place_weights(ranks, ranks[:1], options._replace(swap=0.0))
    return (options.swap / (1 + ranks).log2()).to(like.dtype), gaps.to(like.dtype)
