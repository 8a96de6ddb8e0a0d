"""Permutation matrices as one writes them in plain torch, and peers that hold such matrices or networks."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.soft_definitions import box

_HALVINGS = 32


def soft_sort(x: Tensor, temperature: float) -> Tensor:
    """SoftSort's matrix applied to the values."""
    ordered = x.sort(descending=True).values
    matrix = (-(ordered.unsqueeze(-1) - x.unsqueeze(-2)).abs() / temperature).softmax(dim=-1)
    return (matrix @ x.unsqueeze(-1)).squeeze(-1)


def neural_sort(x: Tensor, temperature: float) -> Tensor:
    """NeuralSort's matrix applied to the values."""
    return (_neural_sort_matrix(x, temperature) @ x.unsqueeze(-1)).squeeze(-1)


def neural_sort_weights(x: Tensor, temperature: float, *, k: int) -> Tensor:
    """The sum of the first k rows of NeuralSort's matrix."""
    return _neural_sort_matrix(x, temperature)[..., :k, :].sum(dim=-2)


def halving(x: Tensor, temperature: float, *, k: int) -> Tensor:
    """Weights between 0 and 1 that sum to k: the threshold by halving, its derivative by one step of Newton's."""
    scaled = x / temperature
    with torch.no_grad():
        low, high = scaled.amin(dim=-1, keepdim=True) - 1.0, scaled.amax(dim=-1, keepdim=True)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = box(scaled - middle).sum(dim=-1, keepdim=True) > k
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        found = (low + high) / 2
        inside = ((scaled > found) & (scaled < found + 1)).sum(dim=-1, keepdim=True).clamp(min=1)
    return box(scaled - found - (box(scaled - found).sum(dim=-1, keepdim=True) - k) / inside)


def soft_torch_rows(x: Tensor, temperature: float) -> Tensor:
    """SoftTorch's SoftSort."""
    return _soft_torch(x, temperature, "softsort")


def soft_torch_network(x: Tensor, temperature: float) -> Tensor:
    """SoftTorch's bitonic network."""
    return _soft_torch(x, temperature, "sorting_network")


def diffsort(x: Tensor, temperature: float) -> Tensor:
    """diffsort's bitonic network; it sorts upwards."""
    return -_network(x.shape[-1], x.device.type, temperature)(-x)[0]


@cache
def _network(items: int, device: str, temperature: float) -> Any:
    from diffsort import DiffSortNet  # pyright: ignore[reportMissingImports]

    return DiffSortNet("bitonic", items, device=device, steepness=1.0 / temperature, distribution="logistic")


def _soft_torch(x: Tensor, temperature: float, method: str) -> Tensor:
    import softtorch  # pyright: ignore[reportMissingImports]

    options: dict[str, Any] = {"method": method, "mode": "smooth", "standardize": False, "descending": True}
    return softtorch.sort(x, dim=-1, softness=temperature, **options).values


def _neural_sort_matrix(x: Tensor, temperature: float) -> Tensor:
    count = x.shape[-1]
    distances = (x.unsqueeze(-1) - x.unsqueeze(-2)).abs().sum(dim=-1, keepdim=True).transpose(-1, -2)
    scaling = (count - 1 - 2 * torch.arange(count, device=x.device)).to(x).unsqueeze(-1)
    return ((scaling * x.unsqueeze(-2) - distances) / temperature).softmax(dim=-1)
