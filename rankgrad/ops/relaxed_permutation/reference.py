"""Relaxed permutations by their definition."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, full_precision
from rankgrad.ops.relaxed_permutation.ordered import bounded_temperature, finite, order

Method: TypeAlias = Literal["softsort", "neuralsort"]
# "laplace" and "square" are SoftSort with power 1 and 2.
Kind: TypeAlias = Literal["laplace", "square", "neuralsort"]


def kind_of(method: Method, power: int) -> Kind:
    """Which weights are asked for.

    Example:
        >>> kind_of("softsort", 3)
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: power: expected 1, or 2 with method="softsort", got 3 with method="softsort"
    """
    if method == "neuralsort" and power == 1:
        return "neuralsort"
    if method != "softsort" or power not in (1, 2):
        raise InputError(f'power: expected 1, or 2 with method="softsort", got {power} with method="{method}"')
    return "laplace" if power == 1 else "square"


def matrix(x: Tensor, mask: Tensor | None, temperature: float, *, method: Method, power: int = 1) -> Tensor:
    """The relaxed permutation that sorts a list in descending order: row i says who holds place i.

    - ``"softsort"``: ``P_ij = softmax_j(-|s_i - x_j|^power / temperature)``, s the sorted values.
    - ``"neuralsort"``: ``P_ij = softmax_j(((m + 1 - 2 i) x_j - sum_k |x_j - x_k|) / temperature)``, for the places i of
      the m real items.

    The largest weight of a row is at the item whose place it is, so both tend to the permutation matrix as the
    temperature falls to 0. In float32 they equal it, and their gradient is 0, from ``temperature = gap / 17`` on, with
    ``gap`` the smallest difference of two values (``gap^2 / 17`` with ``power=2``). Columns do not sum to 1.

    Args:
        x: values to sort by. Infinite ones stand beyond all others and take no gradient.
        mask: True = a real item; None = all.
        temperature: above 0.
        method: which definition.
        power: 1 or 2; only SoftSort has it.

    Shape:
        ``[..., n] -> [..., n, n]``, float32 (float64 for float64).

    Returns:
        The matrix, differentiable any number of times; 0 in the rows beyond the real items and in the columns of masked
        items, NaN in the others of a list in which a real item is NaN.

    Raises:
        InputError: for another power.

    Reference:
        Prillo, Eisenschlos: SoftSort, ICML 2020. Grover, Wang, Zweig, Ermon: Stochastic optimization of sorting
        networks via continuous relaxations, ICLR 2019.

    Example:
        >>> matrix(torch.tensor([1.0, 3.0]), None, 1.0, method="softsort")
        tensor([[0.1192, 0.8808],
                [0.8808, 0.1192]])
    """
    kind_of(method, power)
    temperature = bounded_temperature(temperature)
    x = accumulate(x, "x")
    real = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
    # ONNX has no stable sort.
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    lists = order(x, real, temperature, stable=not exporting)
    x = finite(x, real, temperature)
    if method == "softsort":
        ordered = lists.values.masked_fill(~lists.real, 0.0)
        logits = -(ordered.unsqueeze(-1) - x.unsqueeze(-2)).abs().pow(power)
    else:
        logits = _neuralsort_logits(x, real)
    inside = lists.real.unsqueeze(-1) & real.unsqueeze(-2)
    # What is not inside has no weight; a row without anything inside stays finite, so that its gradient is 0.
    logits = logits.masked_fill(~real.unsqueeze(-2), float("-inf")).masked_fill(~lists.real.unsqueeze(-1), 0.0)
    if x.shape[-1]:
        # Differences from the largest, so that a low temperature makes no infinite one of it.
        logits = logits - logits.detach().amax(dim=-1, keepdim=True)
    weights = (logits / temperature).softmax(dim=-1).masked_fill(~inside, 0.0)
    return weights.masked_fill(lists.unknown.unsqueeze(-1) & inside, float("nan"))


def _neuralsort_logits(x: Tensor, real: Tensor) -> Tensor:
    """Before the division by the temperature; a common offset of the list only shifts rows."""
    count = real.sum(dim=-1, keepdim=True)
    mean = x.detach().sum(dim=-1, keepdim=True) / count.clamp(min=1)
    x = (x - mean).masked_fill(~real, 0.0)
    distances = (x.unsqueeze(-1) - x.unsqueeze(-2)).abs().masked_fill(~real.unsqueeze(-2), 0.0)
    places = torch.arange(1, x.shape[-1] + 1, device=x.device)
    scale = (count + 1 - 2 * places).to(x.dtype)
    return scale.unsqueeze(-1) * x.unsqueeze(-2) - distances.sum(dim=-1).unsqueeze(-2)


def apply(weights: Tensor, values: Tensor, *, transpose: bool) -> Tensor:
    """The matrix, or its transpose, times values; places and items without weight give nothing, whatever they hold.

    Example:
        >>> apply(torch.eye(2), torch.tensor([[1.0], [2.0]]), transpose=True)
        tensor([[1.],
                [2.]])
    """
    weights = weights.transpose(-1, -2) if transpose else weights
    with full_precision(weights.device):
        return weights @ values
