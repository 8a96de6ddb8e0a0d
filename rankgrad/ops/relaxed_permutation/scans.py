"""Products with the kernel of Laplace by scans: O(n log n), for SoftSort.

Over a sorted list ``exp(-|s_i - s_j| / temperature)`` is the product of the factors between neighbours, so that sums of
it over all higher or all lower items are linear recurrences. Every factor is at most 1: nothing can overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor

# So many numbers of a scan are looked at together as stay in a cache.
_ELEMENTS = 1 << 17


def multiply(ordered: Tensor, weights: Tensor, temperature: float, *, moments: bool) -> tuple[Tensor, Tensor | None]:
    """``sum_j K_kj w_j``, and of it what lies above less what lies below: ``sum_j sign(s_j - s_k) K_kj w_j``.

    Args:
        ordered: values in descending order, ``[lists, n]``.
        weights: ``[lists, dim, n]``.
        temperature: above 0.
        moments: also give the second.

    Example:
        >>> product, moment = multiply(torch.tensor([[2.0, 1.0]]), torch.ones(1, 1, 2), 1.0, moments=True)
        >>> product, moment
        (tensor([[[1.3679, 1.3679]]]), tensor([[[-0.3679,  0.3679]]]))
    """
    count, dim, n = weights.shape
    product = torch.empty_like(weights, memory_format=torch.contiguous_format)
    moment = torch.empty_like(product) if moments else None
    step = max(1, _ELEMENTS // max(dim * n, 1))
    for start in range(0, count, step):
        some = slice(start, start + step)
        down, up = _scans(ordered[some], weights[some], temperature)
        if moment is not None:
            moment[some] = _above_less_below(ordered[some], down, up, temperature)
        # Both hold the item itself.
        product[some] = down.sub_(weights[some]).add_(up)
    return product, moment


def _scans(ordered: Tensor, weights: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Sums over an item and all before it, and over an item and all behind it; each step doubles how far they reach."""
    down = weights.clone(memory_format=torch.contiguous_format)
    up = down.clone()
    step = 1
    while step < ordered.shape[-1]:
        factor = _factor(ordered, step, temperature)
        if not bool(factor.amax() > 0):
            break
        down[..., step:] += factor * down[..., :-step]
        up[..., :-step] += factor * up[..., step:]
        step *= 2
    return down, up


def _factor(ordered: Tensor, step: int, temperature: float) -> Tensor:
    """The kernel between items that lie ``step`` places apart, ``[lists, 1, n - step]``."""
    return (ordered[:, step:] - ordered[:, :-step]).div_(temperature).exp_().unsqueeze(1)


def _above_less_below(ordered: Tensor, down: Tensor, up: Tensor, temperature: float) -> Tensor:
    """Of items that are equal none is above another."""
    above, below = torch.zeros_like(down), torch.zeros_like(down)
    if ordered.shape[-1] > 1:
        factor = _factor(ordered, 1, temperature)
        torch.mul(factor, down[..., :-1], out=above[..., 1:])
        torch.mul(factor, up[..., 1:], out=below[..., :-1])
        if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
            first, last = ties(ordered)
            above = above.gather(-1, first.unsqueeze(1).expand_as(above))
            below = below.gather(-1, last.unsqueeze(1).expand_as(below))
    return above.sub_(below)


def ties(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last place of the items that equal each item.

    Example:
        >>> ties(torch.tensor([[5.0, 4.0, 4.0, 3.0]]))
        (tensor([[0, 1, 1, 3]]), tensor([[0, 2, 2, 3]]))
    """
    keys = -ordered
    return torch.searchsorted(keys, keys), torch.searchsorted(keys, keys, right=True).sub_(1)
