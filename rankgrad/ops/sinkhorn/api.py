"""Soft sorting by entropic optimal transport."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulation_dtype, check_positive
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.sinkhorn import dense, dense_library, library
from rankgrad.ops.sinkhorn.iterations import Product, potentials
from rankgrad.ops.sinkhorn.problem import Problem, bound, transport_problem
from rankgrad.ops.sinkhorn.reference import plan

ITERATIONS = 20


class _Solution(NamedTuple):
    problem: Problem
    rows: Tensor  # [..., n] potentials of the places
    columns: Tensor  # [..., n] potentials of the items, in descending order
    product: Product


def matrix(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    iterations: int = ITERATIONS,
    tolerance: float | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """The plan that transports m items to m places: how much of item j stands at place i.

    With ``y_i = (m + 1) / 2 - i`` the plan of least ``sum_ij P_ij (x_j / temperature - y_i)^2``, less its entropy,
    among those whose rows and columns sum to 1: ``P_ij = exp(2 x_j y_i / temperature + f_i + g_j)``. Iterations start
    from the potentials of the hard order, ``g_j = -sum_k |x_j - x_k| / temperature``: without one the matrix is
    NeuralSort's, with more of them its columns sum to 1 ever better. Rows always do. An iteration takes O(n^2) time
    and keeps O(n) numbers for the gradient, which is that of the iterations made.

    It is the hard order's matrix to float32's rounding below ``temperature = gap / 18``, ``gap`` the smallest
    difference, whatever the number of iterations; the gradient vanishes there. Two items share two places by
    ``sigmoid(difference / temperature)``, as in sigmoid ranks. Equal items have equal columns.
    ``docs/ops/sinkhorn.md`` derives it.

    Args:
        x: values; infinite ones stand beyond all finite ones and take no gradient.
        mask: True = a real item; None = all.
        temperature: softness, in the units of ``x``; above 0.
        iterations: at most so many; each is a pass over the columns and one over the rows.
        tolerance: a list stops where no column's sum is off by more; None = never. It costs a look at the result an
            iteration; compiled, lists that have stopped wait, but for those of up to 256 items on a CPU.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        x ``[..., n]`` -> ``[..., places, items]``, float32 (float64 for float64).

    Returns:
        The matrix, highest place first; 0 where there is no item or no place, NaN in a list with a real NaN.

    Raises:
        InputError: for iterations below 0, a tolerance not above 0, or a backend that cannot run.

    Reference:
        Cuturi, Teboul, Vert: Differentiable ranking and sorting using optimal transport, NeurIPS 2019.

    Example:
        >>> matrix(torch.tensor([1.0, 3.0]), None, 1.0)
        tensor([[0.1192, 0.8808],
                [0.8808, 0.1192]])
    """
    solution = _solve(x, mask, temperature, iterations, tolerance, backend, accumulation_dtype(x=x))
    problem = solution.problem
    found = plan(problem.places, problem.points, solution.rows, solution.columns).to(accumulation_dtype(x=x))
    found = torch.zeros_like(found).scatter(-1, problem.order.unsqueeze(-2).expand_as(found), found)
    item = torch.ones_like(problem.real) if mask is None else mask
    both = problem.real.unsqueeze(-1) & item.unsqueeze(-2)
    return found.masked_fill(problem.unknown.unsqueeze(-1), float("nan")).masked_fill(~both, 0.0)


def apply(
    x: Tensor,
    values: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    transpose: bool = False,
    iterations: int = ITERATIONS,
    tolerance: float | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """The plan of :func:`matrix` times vectors, without the matrix: what stands at each place, or at each item.

    Args:
        x: values to order by.
        values: a vector an item, or with ``transpose`` a vector a place.
        mask: as in :func:`matrix`.
        temperature: as in :func:`matrix`.
        transpose: from places to items.
        iterations: as in :func:`matrix`.
        tolerance: as in :func:`matrix`.
        backend: as in :func:`matrix`.

    Shape:
        x ``[..., n]``, values ``[..., n, d]`` -> ``[..., n, d]``.

    Example:
        >>> x = torch.tensor([1.0, 3.0])
        >>> apply(x, torch.tensor([[10.0], [30.0]]), None, 0.1)
        tensor([[30.],
                [10.]])
    """
    dtype = accumulation_dtype(x=x, values=values)
    solution = _solve(x, mask, temperature, iterations, tolerance, backend, dtype)
    (points, places, _, real, order, unknown), rows, columns, product = solution
    gone, unknown = ~real.unsqueeze(-1), unknown.unsqueeze(-1)
    index = order.unsqueeze(-1).expand(values.shape)
    weights = values.to(dtype)
    if transpose:
        found = product(places, points, rows, columns, weights.masked_fill(gone, 0.0), True)
        found = found.masked_fill(unknown, float("nan")).masked_fill(gone, 0.0)
        return torch.zeros_like(found).scatter(-2, index, found)
    found = product(places, points, rows, columns, weights.gather(-2, index).masked_fill(gone, 0.0), False)
    return found.masked_fill(unknown, float("nan")).masked_fill(gone, 0.0)


def ranks(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    iterations: int = ITERATIONS,
    tolerance: float | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """1-based soft ranks, rank 1 the highest: the sum of the places, each by how much of the item stands there.

    They sum to ``m (m + 1) / 2`` after any number of iterations. Equal items share a rank.

    Args:
        x: values to rank.
        mask: as in :func:`matrix`; masked items get rank 0.
        temperature: as in :func:`matrix`.
        iterations: as in :func:`matrix`.
        tolerance: as in :func:`matrix`.
        backend: as in :func:`matrix`.

    Shape:
        ``[..., n]``.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1)
        tensor([1.0000, 2.5000, 2.5000])
    """
    places = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=accumulation_dtype(x=x))
    places = places.expand(x.shape).unsqueeze(-1)
    options = {"iterations": iterations, "tolerance": tolerance}
    return apply(x, places, mask, temperature, transpose=True, backend=backend, **options).squeeze(-1)


def sorted_values(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    iterations: int = ITERATIONS,
    tolerance: float | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """The values, the highest first, softly: each place the mean of what stands there.

    Args:
        x: values to sort.
        mask: as in :func:`matrix`; masked items sort to the end as 0.
        temperature: as in :func:`matrix`.
        iterations: as in :func:`matrix`.
        tolerance: as in :func:`matrix`.
        backend: as in :func:`matrix`.

    Shape:
        ``[..., n]``.

    Example:
        >>> sorted_values(torch.tensor([1.0, 3.0, 2.0]), None, 0.05)
        tensor([3., 2., 1.])
    """
    values = bound(x if mask is None else x.masked_fill(~mask, 0.0)).unsqueeze(-1)
    options = {"iterations": iterations, "tolerance": tolerance}
    return apply(x, values, mask, temperature, backend=backend, **options).squeeze(-1)


def check_iterations(iterations: int, tolerance: float | None) -> None:
    """Refuse options with which nothing can be iterated."""
    if not iterations >= 0:
        raise InputError(f"iterations: expected a number of at least 0, got {iterations}")
    if tolerance is not None:
        check_positive(tolerance, "tolerance")


def _solve(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    iterations: int,
    tolerance: float | None,
    backend: Backend,
    dtype: torch.dtype,
) -> _Solution:
    check_iterations(iterations, tolerance)
    implementation = resolve_backend(
        backend,
        x.device,
        op="sinkhorn",
        dtype=dtype,
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )
    product = library.product(implementation)
    problem = transport_problem(x, mask, temperature, triton=implementation == "triton")
    if implementation == "tiled" and x.shape[-1] <= dense.LONGEST:
        rows, columns = dense_library.potentials(problem, iterations, tolerance)
    else:
        rows, columns = potentials(problem, iterations, tolerance, product, dtype)
    return _Solution(problem, rows, columns, product)
