"""Differentiable sorting."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_positive, real_items
from rankgrad.ops._dispatch import Backend
from rankgrad.ops._spread import standard_deviation
from rankgrad.ops.isotonic import sorted_values
from rankgrad.ops.isotonic.problem import Regularization


def soft_sort(
    x: Tensor,
    *,
    method: Literal["isotonic"] = "isotonic",
    temperature: float,
    regularization: Regularization = "l2",
    descending: bool = True,
    mask: Tensor | None = None,
    relative: bool = False,
    backend: Backend = "auto",
) -> Tensor:
    """The values in order, changing smoothly with each of them.

    The projection of ``(n, ..., 1) / temperature`` on the convex hull of all orders of the values: with B the blocks of
    an isotonic regression, ``p_i - mean_B(p) + mean_B(s)`` for the sorted values s and ``p_i = (n - i) / temperature``;
    with ``"kl"`` the means are logarithms of means of exponentials. Sum and order are kept. ``docs/ops/isotonic.md``
    derives it. Time is O(n log n), memory O(n).

    It equals the sorted values where neighbours in the order lie no farther apart than ``1 / temperature``; there each
    place passes its gradient to the one value that holds it. As the temperature grows all places tend to the mean (with
    ``"kl"`` the logarithm of the mean of exponentials), and each value receives its share of the whole list's gradient.
    Unlike that of soft ranks the gradient never vanishes: over a list it sums to that of the result.

    Args:
        x: values to sort. Infinite ones count as the largest finite ones that can be added up.
        method: ``"isotonic"``.
        temperature: softness, in units of one over ``x``; above 0.
        regularization: ``"l2"`` or ``"kl"``.
        descending: the highest value first, else the lowest.
        mask: True = a real item; masked items sort to the end as 0, take no gradient and count for nobody.
        relative: sort the values in units of their list's standard deviation, so that scaling ``x`` scales the result;
            a list without spread is taken as it is.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``; ``"auto"`` on CUDA takes Triton kernels for lists of at
            most 2048 items, and plain torch beyond.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The sorted values; NaN at every real place of a list in which a real item is NaN.

    Raises:
        InputError: for a temperature not above 0, an unknown option, a mask of another shape, or a backend that cannot
            run.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and ranking, ICML 2020.

    Example:
        >>> x = torch.tensor([2.0, 5.0, 3.0])
        >>> soft_sort(x, temperature=0.5), soft_sort(x, temperature=1.0)
        (tensor([5., 3., 2.]), tensor([4.3333, 3.3333, 2.3333]))
    """
    if method != "isotonic":
        raise InputError(f'method: expected "isotonic", got {method!r}')
    check_positive(temperature, "temperature")
    mask = real_items(x, mask, "x")
    values = accumulate(x, "x") if descending else -accumulate(x, "x")
    spread = standard_deviation(values, mask) if relative else None
    if spread is not None:
        # What is not finite, behind the mask or not, has no say in the spread's gradient either.
        counted = mask & values.isfinite()
        values = torch.where(counted, values.masked_fill(~counted, 0.0) / spread, values)
    result = sorted_values(values, mask, temperature, regularization=regularization, backend=backend)
    if spread is not None:
        result = result * spread
    return result if descending else -result
