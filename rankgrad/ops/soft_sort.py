"""Differentiable sorting."""

from __future__ import annotations

from typing import Any, Unpack, get_args

import torch
from torch import Tensor

from rankgrad.ops import isotonic, laplace, perturbed, relaxed_permutation, sinkhorn
from rankgrad.ops import sorting_network as network
from rankgrad.ops._arguments import accumulate, real_items
from rankgrad.ops._dispatch import Backend
from rankgrad.ops._spread import in_deviations
from rankgrad.ops._straight_through import straight_through as with_value
from rankgrad.ops.soft_methods import MethodOptions, SortMethod, check_method


def soft_sort(
    x: Tensor,
    *,
    temperature: float,
    method: SortMethod = "isotonic",
    relative: bool = False,
    descending: bool = True,
    mask: Tensor | None = None,
    straight_through: bool = False,
    backend: Backend = "auto",
    **options: Unpack[MethodOptions],
) -> Tensor:
    """The values in order, changing smoothly with each of them.

    - ``"isotonic"``: the projection of ``(n, ..., 1) / temperature`` on the convex hull of all orders of the values.
      Exactly the sorted values where neighbours in the order lie no farther apart than ``1 / temperature``: the
      temperature is one over the values. Sum and order are kept, and over a list the gradient sums to that of the
      result, so it never vanishes. As the temperature grows all places tend to the mean (with
      ``regularization="kl"`` the logarithm of the mean of exponentials). O(n log n).
    - ``"laplace"``: place i holds the threshold that ``i - 1/2`` items are above, each counted by the Laplace
      distribution function. O(n log n).
    - ``"softsort"``, ``"neuralsort"``, ``"sinkhorn"``, ``"network"``: the values under the relaxed permutation of
      :func:`rankgrad.ops.soft_permutation`, without its matrix.
    - ``"perturbed"``: the mean over ``samples`` of the sorted ``x + temperature * noise``.

    All but the first give the sorted values as the temperature falls to 0, and there each place passes its gradient
    to the one value that holds it: a sort's gradient does not vanish.

    Args:
        x: values to sort. Infinite ones count as the largest finite ones that can be added up.
        temperature: softness, above 0; in the units of ``x``, with ``"isotonic"`` of one over ``x``.
        method: which definition, see above.
        relative: sort the values in units of their list's standard deviation, so that scaling ``x`` scales the result;
            a list without spread is taken as it is.
        descending: the highest value first, else the lowest.
        mask: True = a real item; masked items sort to the end as 0, take no gradient and count for nobody.
        straight_through: give the values sorted exactly, with the gradient of the soft ones.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, the definition, which may hold n x n numbers.
        **options: of the method alone, see :class:`rankgrad.ops.soft_methods.MethodOptions`.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The sorted values; NaN at every real place of a list in which a real item is NaN.

    Raises:
        InputError: for a temperature not above 0, an unknown method or option, a mask of another shape, or a backend
            that cannot run.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and ranking, ICML 2020 (isotonic).
        ``docs/ops/soft_rank.md`` names the others.

    Example:
        >>> x = torch.tensor([2.0, 5.0, 3.0])
        >>> soft_sort(x, temperature=0.5), soft_sort(x, temperature=1.0)
        (tensor([5., 3., 2.]), tensor([4.3333, 3.3333, 2.3333]))
    """
    check_method(method, get_args(SortMethod), temperature, options)
    real = real_items(x, mask, "x")
    values = accumulate(x, "x") if descending else -accumulate(x, "x")
    scaled, spread = in_deviations(values, real) if relative else (values, None)
    result = _sorted(scaled, mask, real, temperature, method, backend, options)
    if spread is not None:
        result = result * spread
    if straight_through:
        result = with_value(_hard_sort(values, real), result)
    return result if descending else -result


def _sorted(
    x: Tensor, mask: Tensor | None, real: Tensor, temperature: float, method: str, backend: Backend, options: Any
) -> Tensor:
    """The highest first."""
    if method == "isotonic":
        regularization = options.get("regularization") or "l2"
        return isotonic.sorted_values(x, real, temperature, regularization=regularization, backend=backend)
    if method in ("softsort", "neuralsort"):
        return relaxed_permutation.sorted_values(x, mask, temperature, method=method, backend=backend)
    operator = {"laplace": laplace, "sinkhorn": sinkhorn, "network": network}.get(method, perturbed)
    return operator.sorted_values(x, mask, temperature, backend=backend, **options)


def _hard_sort(values: Tensor, real: Tensor) -> Tensor:
    """Sorted from the highest, 0 behind the real ones; all NaN where a real one is."""
    values = values.detach()
    unknown = (values.isnan() & real).any(dim=-1, keepdim=True)
    ordered = values.masked_fill(~real, float("-inf")).sort(dim=-1, descending=True).values
    places = torch.arange(values.shape[-1], device=values.device)
    behind = places >= real.sum(dim=-1, keepdim=True)
    return ordered.masked_fill(unknown, float("nan")).masked_fill(behind, 0.0)
