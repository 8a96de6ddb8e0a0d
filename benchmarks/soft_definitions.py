"""What each method is, in float64 and plain torch, at some places of one list; torch differentiates it.

``definition(x, places, temperature)`` gives the results at ``places`` (of ranks and weights these are items, of sorted
values places in the order) for ``x`` ``[items]``. None of it is rankgrad's code, but for two methods that no other
library computes alike, of which the definition in plain torch is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Definition = Callable[[Tensor, Tensor, float], Tensor]
_HALVINGS = 64


def sigmoid_rank(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """``1/2 + sum_j sigmoid((x_j - x_i) / T)``."""
    return 0.5 + _apart(x, places, temperature).sigmoid().sum(dim=-1)


def laplace_rank(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """The same with Laplace's distribution function."""
    return 0.5 + laplace(_apart(x, places, temperature)).sum(dim=-1)


def isotonic_rank(x: Tensor, places: Tensor, temperature: float, *, kl: bool = False) -> Tensor:
    """The projection of ``-x / T`` on the orders of 1 to n, with scipy's regression."""
    z, order = (-x / temperature).sort(descending=True)
    s = torch.arange(x.numel(), 0, -1, dtype=x.dtype)
    found = _projection(z, s.log() if kl else s, kl=kl)
    ranks = torch.empty_like(found).scatter(0, order, found.exp() if kl else found)
    return ranks[places]


def isotonic_sort(x: Tensor, places: Tensor, temperature: float, *, kl: bool = False) -> Tensor:
    """The projection of ``(n, ..., 1) / T`` on the orders of the values."""
    z = torch.arange(x.numel(), 0, -1, dtype=x.dtype) / temperature
    return _projection(z, x.sort(descending=True).values, kl=kl)[places]


def soft_sort_rows(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """SoftSort's rows: ``softmax(-|s_i - x| / T)``."""
    ordered = x.sort(descending=True).values[places]
    return (-(ordered[:, None] - x).abs() / temperature).softmax(dim=-1)


def neural_sort_rows(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """NeuralSort's rows: ``softmax(((n + 1 - 2 i) x - A) / T)``, ``A_j = sum_k |x_j - x_k|``."""
    count = x.numel()
    ascending, order = x.sort()
    place = torch.arange(count, dtype=x.dtype)
    below = ascending.cumsum(0) - ascending
    above = ascending.sum() - below - ascending
    distances = ascending * place - below + above - ascending * (count - 1 - place)
    distances = torch.empty_like(x).scatter(0, order, distances)
    return (((count - 1 - 2 * places.to(x))[:, None] * x - distances) / temperature).softmax(dim=-1)


def applied(rows: Definition, x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Sorted values: rows of a permutation applied to the values."""
    return rows(x, places, temperature) @ x


def transposed(rows: Definition, x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Ranks: the transposed permutation applied to 1 to n."""
    found = rows(x, torch.arange(x.numel()), temperature)
    return torch.arange(1, x.numel() + 1, dtype=x.dtype) @ found[:, places]


def first_rows(rows: Definition, k: int, x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Weights of a top-k: the sum of the first k rows."""
    return rows(x, torch.arange(k), temperature)[:, places].sum(dim=0)


def hard_sort(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """The sorted values themselves."""
    return x.sort(descending=True).values[places]


def laplace_sort(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """The ``b`` with ``sum_j F((x_j - b) / T) = i - 1/2``."""
    return threshold(laplace, x, places.to(x) + 0.5, temperature)


def weights(share: Callable[[Tensor], Tensor], k: int, x: Tensor, places: Tensor, temperature: float) -> Tensor:
    """``h((x_i - b) / T)`` with the ``b`` for which they sum to k."""
    found = threshold(share, x, torch.full((1,), float(k), dtype=x.dtype), temperature)
    return share((x[places] - found) / temperature)


def ours(
    operator: Callable[..., Tensor], options: dict[str, Any], x: Tensor, places: Tensor, temperature: float
) -> Tensor:
    """rankgrad's definition in plain torch."""
    return operator(x, temperature=temperature, backend="reference", **options)[places]


def laplace(z: Tensor) -> Tensor:
    """Laplace's distribution function."""
    return 0.5 + 0.5 * z.sign() * -torch.expm1(-z.abs())


def box(z: Tensor, power: float = 1.0) -> Tensor:
    """A power of z between 0 and 1."""
    return z.clamp(0.0, 1.0) ** power


def threshold(share: Callable[[Tensor], Tensor], x: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """The b with ``sum_j share((x_j - b) / T) = wanted``, by halving; its derivative by one step of Newton's."""
    with torch.no_grad():
        reach = 60.0 * temperature
        low, high = (torch.full_like(wanted, float(end)) for end in (x.min() - reach, x.max() + reach))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = share((x - middle[:, None]) / temperature).sum(dim=-1) > wanted
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    found = ((low + high) / 2).requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(share((x.detach() - found[:, None]) / temperature).sum(), found)
    found = found.detach()
    return found - (share((x - found[:, None]) / temperature).sum(dim=-1) - wanted) / slope


def _apart(x: Tensor, places: Tensor, temperature: float) -> Tensor:
    return (x - x[places][:, None]) / temperature


def _projection(z: Tensor, s: Tensor, *, kl: bool) -> Tensor:
    """Of descending z on the orders of descending s: the blocks are scipy's, the means torch's."""
    from scipy.optimize import isotonic_regression

    if kl:
        found = isotonic_regression((z - s).detach().exp().numpy(), weights=s.detach().exp().numpy(), increasing=False)
    else:
        found = isotonic_regression((z - s).detach().numpy(), increasing=False)
    starts = torch.as_tensor(found.blocks[:-1])
    block = torch.zeros(z.numel(), dtype=torch.int64).scatter(0, starts, 1).cumsum(0) - 1

    def sums(values: Tensor) -> Tensor:
        return values.new_zeros(starts.numel()).index_add(0, block, values)[block]

    if kl:
        return z - sums(z.exp()).log() + sums(s.exp()).log()
    return z + sums(s - z) / sums(torch.ones_like(z))


isotonic_rank_kl = partial(isotonic_rank, kl=True)
isotonic_sort_kl = partial(isotonic_sort, kl=True)
