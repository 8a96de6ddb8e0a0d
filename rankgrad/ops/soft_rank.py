"""Differentiable ranks."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import isotonic, pairwise_rank
from rankgrad.ops._arguments import accumulate, accumulation_dtype, check_positive, real_items
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops._spread import standard_deviation
from rankgrad.ops.isotonic.problem import Regularization

RankMethod: TypeAlias = Literal["sigmoid", "isotonic"]


def soft_rank(
    x: Tensor,
    *,
    temperature: float,
    method: RankMethod = "sigmoid",
    regularization: Regularization | None = None,
    relative: bool = False,
    descending: bool = True,
    mask: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """1-based ranks that change smoothly with the values.

    - ``method="sigmoid"``: ``rank_i = 1 + sum_{j real, j != i} sigmoid((x_j - x_i) / temperature)``. Never exactly the
      hard ranks: they differ by less than ``n exp(-gap / temperature)``, ``gap`` being the smallest difference, which
      float32 rounds away below ``temperature = gap / 24``. An item's gradient falls as ``exp(-distance /
      temperature)`` with the distance to its nearest neighbour; it vanishes there too. Time is O(n^2).
    - ``method="isotonic"``: the projection of the values on the orders of 1 to n. Exactly the hard ranks, with zero
      gradient, where no two values are closer than ``temperature`` (``"l2"``), ``temperature log 2`` (``"kl"``). Time
      is O(n log n).

    With the sign turned for ascending ranks. The ranks of a list of n sum to ``n (n + 1) / 2`` at any temperature; tied
    values share the mean of their ranks. No n x n tensor is held: CUDA takes Triton kernels; a CPU sorts, and then
    skips pairs whose sigmoid is 0 or 1; both under ``torch.compile`` too. Other devices, float64 on CUDA, and export
    take the definition. Gradients repeat bit for bit. ``docs/ops/soft_rank.md`` derives them.

    Args:
        x: values to rank. Infinite values rank beyond all finite ones and take no gradient.
        temperature: softness, in the units of ``x``, or of its spread where ``relative``; above 0.
        method: ``"sigmoid"`` or ``"isotonic"``.
        regularization: of the projection, ``"l2"`` (also None) or ``"kl"``; only with ``"isotonic"``.
        relative: multiply the temperature by the list's standard deviation, that of its real finite items (divisor n).
            Ranks are then the same for ``x`` and ``c x + b``; the gradient goes through the deviation too, so it never
            only stretches a list. A list without spread keeps the temperature.
        descending: rank 1 is the highest value, else the lowest.
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which for ``"sigmoid"`` holds the n x n matrix.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN. Only the reference is differentiable
        more than once.

    Raises:
        InputError: for a temperature not above 0, an unknown option, a backend that cannot run, or a mask of another
            shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Qin, Liu, Li: A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 13, 2010 (sigmoid). Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and
        ranking, ICML 2020 (isotonic).

    Example:
        >>> soft_rank(torch.tensor([3.0, 1.0, 1.0]), temperature=0.1)
        tensor([1.0000, 2.5000, 2.5000])
        >>> soft_rank(torch.tensor([3.0, 1.0, 0.9]), temperature=0.2, method="isotonic")
        tensor([1.0000, 2.2500, 2.7500])
    """
    check_options(temperature, method, regularization)
    real = real_items(x, mask, "x")
    dtype = accumulation_dtype(x=x)
    if relative:
        x = _in_deviations(accumulate(x, "x"), real)
    if not descending:
        x = -x
    if method == "isotonic":
        return isotonic.ranks(x, real, temperature, regularization=regularization or "l2", backend=backend)
    implementation = resolve_backend(
        backend,
        x.device,
        op="soft_rank",
        dtype=dtype,
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )
    return pairwise_rank.ranks(x, mask, temperature, implementation=implementation)


def check_options(temperature: float, method: str, regularization: str | None) -> None:
    """Refuse options that no list can be ranked with."""
    check_positive(temperature, "temperature")
    if method not in ("sigmoid", "isotonic"):
        raise InputError(f'method: expected "sigmoid" or "isotonic", got {method!r}')
    if regularization not in (None, "l2", "kl"):
        raise InputError(f'regularization: expected "l2" or "kl", got {regularization!r}')
    if regularization is not None and method != "isotonic":
        raise InputError(f'regularization: expected None with method="sigmoid", got {regularization!r}')


def _in_deviations(x: Tensor, real: Tensor) -> Tensor:
    """The values in units of their list's standard deviation; what is not finite stays."""
    finite = x.isfinite()
    return torch.where(finite, x.masked_fill(~finite, 0.0) / standard_deviation(x, real), x)
