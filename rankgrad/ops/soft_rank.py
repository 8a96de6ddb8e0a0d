"""Differentiable ranks."""

from __future__ import annotations

from typing import Any, Unpack, get_args

import torch
from torch import Tensor

from rankgrad.ops import blackbox, isotonic, laplace, pairwise_rank, perturbed, relaxed_permutation, sinkhorn
from rankgrad.ops import sorting_network as network
from rankgrad.ops._arguments import accumulate, accumulation_dtype, real_items
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops._spread import in_deviations
from rankgrad.ops._straight_through import straight_through as with_value
from rankgrad.ops.ranking import hard_rank
from rankgrad.ops.soft_methods import MethodOptions, RankMethod, check_method


def soft_rank(
    x: Tensor,
    *,
    temperature: float,
    method: RankMethod = "sigmoid",
    relative: bool = False,
    descending: bool = True,
    mask: Tensor | None = None,
    straight_through: bool = False,
    backend: Backend = "auto",
    **options: Unpack[MethodOptions],
) -> Tensor:
    """1-based ranks that change smoothly with the values.

    With ``gap`` the smallest difference of two values:

    - ``"sigmoid"``: ``rank_i = 1 + sum_{j != i} sigmoid((x_j - x_i) / temperature)``. It differs from the hard rank by
      less than ``n exp(-gap / temperature)``, which float32 rounds away below ``temperature = gap / 24``. O(n^2).
    - ``"isotonic"``: the projection of the values on the orders of 1 to n. Exactly the hard ranks up to ``temperature =
      gap`` (with ``regularization="kl"`` up to ``gap / log 2``). O(n log n).
    - ``"laplace"``: as ``"sigmoid"`` with the distribution function of Laplace. O(n log n).
    - ``"softsort"``, ``"neuralsort"``, ``"sinkhorn"``, ``"network"``: the expected place of the item under the relaxed
      permutation of :func:`rankgrad.ops.soft_permutation`.
    - ``"blackbox"``: the hard rank, always. The gradient is the change of ranks that a step of length ``temperature``
      along the upstream gradient makes, over ``temperature``. O(n log n).
    - ``"perturbed"``: the expected hard rank of ``x + temperature * noise``, over ``samples`` lists. O(n log n) each.

    Where a method gives the hard ranks its gradient has vanished (``"blackbox"`` apart): raise the temperature, or take
    ``relative=True``, until ranks differ visibly from whole numbers. The ranks of a list of n sum to ``n (n + 1) / 2``
    except with ``"softsort"`` and ``"neuralsort"``; tied values share a rank except with ``"network"``, for which they
    keep what the order of the items gives them. No n x n tensor is held: CUDA takes Triton kernels and a CPU its own
    paths, under ``torch.compile`` too. Export takes the definition. Gradients repeat bit for bit.
    ``docs/ops/soft_rank.md`` compares the methods and derives the first.

    Args:
        x: values to rank. Infinite values rank beyond all finite ones and take no gradient.
        temperature: softness, in the units of ``x``, or of its spread where ``relative``; above 0.
        method: which definition, see above.
        relative: multiply the temperature by the list's standard deviation, that of its real finite items (divisor n).
            Ranks are then the same for ``x`` and ``c x + b``; the gradient goes through the deviation too, so it never
            only stretches a list. A list without spread keeps the temperature.
        descending: rank 1 is the highest value, else the lowest.
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        straight_through: give the hard ranks, with the gradient of the soft ones.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, the definition, which may hold n x n numbers.
        **options: of the method alone, see :class:`rankgrad.ops.soft_methods.MethodOptions`.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN. Only the reference is differentiable
        more than once.

    Raises:
        InputError: for a temperature not above 0, an unknown method or option, a backend that cannot run, or a mask of
            another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Qin, Liu, Li: A general approximation framework for direct optimization of information retrieval measures,
        Information Retrieval 13, 2010 (sigmoid). Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and
        ranking, ICML 2020 (isotonic). ``docs/ops/soft_rank.md`` names the others.

    Example:
        >>> soft_rank(torch.tensor([3.0, 1.0, 1.0]), temperature=0.1)
        tensor([1.0000, 2.5000, 2.5000])
        >>> soft_rank(torch.tensor([3.0, 1.0, 0.9]), temperature=0.2, method="isotonic")
        tensor([1.0000, 2.2500, 2.7500])
    """
    check_method(method, get_args(RankMethod), temperature, options)
    real = real_items(x, mask, "x")
    dtype = accumulation_dtype(x=x)
    if relative:
        x = in_deviations(accumulate(x, "x"), real)[0]
    if not descending:
        x = -x
    ranks = _ranks(x, mask, real, temperature, method, backend, dtype, options)
    return with_value(hard_rank(x, mask=mask), ranks) if straight_through else ranks


def _ranks(
    x: Tensor,
    mask: Tensor | None,
    real: Tensor,
    temperature: float,
    method: str,
    backend: Backend,
    dtype: torch.dtype,
    options: Any,
) -> Tensor:
    """Rank 1 is the highest."""
    if method == "isotonic":
        regularization = options.get("regularization") or "l2"
        return isotonic.ranks(x, real, temperature, regularization=regularization, backend=backend)
    if method == "sigmoid":
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
    if method in ("softsort", "neuralsort"):
        return relaxed_permutation.ranks(x, mask, temperature, method=method, backend=backend)
    operator = {"laplace": laplace, "sinkhorn": sinkhorn, "network": network, "blackbox": blackbox}.get(
        method, perturbed
    )
    return operator.ranks(x, mask, temperature, backend=backend, **options)
