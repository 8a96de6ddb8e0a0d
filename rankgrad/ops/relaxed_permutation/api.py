"""Relaxed permutations applied to values, to the list itself, and to places."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate, accumulation_dtype
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.relaxed_permutation import library, reference
from rankgrad.ops.relaxed_permutation.ordered import Ordered, bounded_temperature, order
from rankgrad.ops.relaxed_permutation.reference import Method, kind_of


def apply(
    x: Tensor,
    values: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    method: Method,
    transpose: bool = False,
    power: int = 1,
    backend: Backend = "auto",
) -> Tensor:
    """The :func:`matrix` of ``x``, or its transpose, times ``values``, without holding the matrix.

    SoftSort with power 1 takes O(n log n), the others look at the pairs of places whose weight is not negligible:
    ``exp(-32)`` of their row's largest (``exp(-64)`` in float64).

    Args:
        x: values to sort by.
        values: a vector an item or, transposed, a place. Those of masked items, and of places beyond the real ones,
            count for nothing whatever they hold.
        mask: True = a real item; None = all.
        temperature: above 0.
        method: ``"softsort"`` or ``"neuralsort"``.
        transpose: from places to items.
        power: 1 or 2, of SoftSort.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        x ``[..., n]``, values ``[..., n, dim]`` -> ``[..., n, dim]``, float32 (float64 where an operand is).

    Returns:
        A place's, or transposed an item's, mean of values or sum of shares; 0 at places beyond the real items and at
        masked items, NaN at the others of a list in which a real item is NaN. As the temperature falls to 0 it becomes
        the values in order, and the gradient of ``x`` vanishes where :func:`matrix` says.

    Raises:
        InputError: for another power or a backend that cannot run.

    Example:
        >>> gains = torch.tensor([[0.0], [7.0], [1.0]])
        >>> apply(torch.tensor([0.1, 0.9, 0.5]), gains, None, 0.001, method="softsort").squeeze(-1)
        tensor([7., 1., 0.])
    """
    dtype = accumulation_dtype(x=x, values=values)
    triton = _kernels(backend, x, dtype)
    x, values, real = x.to(dtype), values.to(dtype), _real(x, mask)
    if triton is None:
        weights = reference.matrix(x, mask, temperature, method=method, power=power)
        given = _real_places(real) if transpose else real
        return reference.apply(weights, values.masked_fill(~given.unsqueeze(-1), 0.0), transpose=transpose)
    lists = _lists(x, real, temperature, triton)
    temperature, kind = bounded_temperature(temperature), kind_of(method, power)
    vectors = values.unsqueeze(0).flatten(0, -3).transpose(1, 2)
    if transpose:
        vectors = vectors.masked_fill(~lists.real.unsqueeze(1), 0.0)
        found = library.columns(lists.values, vectors, lists.real, temperature, kind, triton=triton)
        result = _to_items(found, lists)
    else:
        vectors = vectors.gather(2, lists.order.unsqueeze(1).expand_as(vectors))
        vectors = vectors.masked_fill(~lists.real.unsqueeze(1), 0.0)
        found = library.rows(lists.values, vectors, lists.real, temperature, kind, triton=triton)
        result = _mark(found, lists)
    return result.transpose(1, 2).reshape(values.shape)


def sorted_values(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    method: Method,
    power: int = 1,
    backend: Backend = "auto",
) -> Tensor:
    """The relaxed permutation of ``x`` times ``x``: the values, softly from the highest.

    In float32 they are the sorted values to rounding once the temperature is a 17th of the smallest difference; each
    place then gives its whole gradient to one item, so unlike that of the weights it does not vanish. Towards an
    infinite temperature all places become the mean.

    Args:
        x: values to sort. An infinite one counts as the largest of which n can be added, and takes no gradient.
        mask: True = a real item; None = all.
        temperature: above 0.
        method: ``"softsort"`` or ``"neuralsort"``.
        power: 1 or 2, of SoftSort.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., n]``, float32 (float64 for float64).

    Returns:
        The values, 0 behind the real ones; NaN at every real place of a list in which a real item is NaN.

    Raises:
        InputError: for another power or a backend that cannot run.

    Example:
        >>> sorted_values(torch.tensor([1.0, 3.0]), None, 1.0, method="softsort")
        tensor([2.7616, 1.2384])
    """
    wide, real = accumulate(x, "x"), _real(x, mask)
    triton = _kernels(backend, x, wide.dtype)
    largest = torch.finfo(wide.dtype).max / (8 * max(x.shape[-1], 1))
    values = wide.masked_fill(~real | wide.isnan(), 0.0).clamp(-largest, largest)
    if triton is None:
        weights = reference.matrix(wide, mask, temperature, method=method, power=power)
        return reference.apply(weights, values.unsqueeze(-1), transpose=False).squeeze(-1)
    lists = _lists(wide, real, temperature, triton)
    values = values.unsqueeze(0).flatten(0, -2).gather(1, lists.order)
    # Rows sum to 1, so that an offset common to the list may stay out of the sums; it would cost their gradient digits.
    middle = lists.real.sum(dim=-1, keepdim=True).div(2, rounding_mode="floor")
    offset = values.detach().gather(1, middle) if x.shape[-1] else values.detach()
    weights = (values - offset).masked_fill(~lists.real, 0.0).unsqueeze(1)
    found = library.rows(
        lists.values, weights, lists.real, bounded_temperature(temperature), kind_of(method, power), triton=triton
    )
    return _mark(found + offset.unsqueeze(1), lists).reshape(x.shape)


def ranks(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    method: Method,
    power: int = 1,
    backend: Backend = "auto",
) -> Tensor:
    """The expected place of each item, ``sum_i i P_ij / sum_i P_ij``, rank 1 = highest.

    Columns of the relaxed permutation do not sum to 1, hence the division: ranks lie from 1 to the number of real
    items, and equal items share theirs, the mean of their places as the temperature falls to 0. In float32 ranks are
    the hard ones, and the gradient is 0, from a 17th of the smallest difference on. Their sum is that of an order only
    in this limit and for lists that are symmetric about their middle.

    Args:
        x: values to rank. Infinite ones rank beyond all finite ones and take no gradient.
        mask: True = a real item; None = all.
        temperature: above 0.
        method: ``"softsort"`` or ``"neuralsort"``.
        power: 1 or 2, of SoftSort.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., n]``, float32 (float64 for float64).

    Returns:
        The ranks, 0 where masked; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for another power or a backend that cannot run.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1, method="softsort")
        tensor([1.0000, 2.5000, 2.5000])
    """
    wide, real = accumulate(x, "x"), _real(x, mask)
    triton = _kernels(backend, x, wide.dtype)
    places = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=wide.dtype)
    if triton is None:
        weights = reference.matrix(wide, mask, temperature, method=method, power=power)
        moments = torch.stack([places, torch.ones_like(places)], dim=-1).expand(*x.shape, 2)
        found = reference.apply(weights, moments, transpose=True)
        # Every item has the largest weight of a row, 1 / n at least.
        return found[..., 0] / found[..., 1].where(real, 1.0)
    lists = _lists(wide, real, temperature, triton)
    middle = (lists.real.sum(dim=-1, keepdim=True) + 1) / 2
    weights = torch.stack([places - middle, torch.ones_like(lists.values)], dim=1)
    weights = weights.masked_fill(~lists.real.unsqueeze(1), 0.0)
    found = library.columns(
        lists.values, weights, lists.real, bounded_temperature(temperature), kind_of(method, power), triton=triton
    )
    found = middle + found[:, 0] / found[:, 1].where(lists.real, 1.0)
    return _to_items(found.unsqueeze(1), lists).reshape(x.shape)


def _kernels(backend: Backend, x: Tensor, dtype: torch.dtype) -> bool | None:
    """Do kernels run? None: the reference does."""
    chosen = resolve_backend(backend, x.device, op="relaxed_permutation", dtype=dtype, kernels=True, compiles=True)
    return None if chosen == "reference" else chosen == "triton"


def _real(x: Tensor, mask: Tensor | None) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool) if mask is None else mask


def _real_places(real: Tensor) -> Tensor:
    return torch.arange(real.shape[-1], device=real.device) < real.sum(dim=-1, keepdim=True)


def _lists(x: Tensor, real: Tensor, temperature: float, triton: bool) -> Ordered:
    """Sorted lists ``[lists, n]``, also where nothing is in a list."""
    flat, flat_real = (tensor.unsqueeze(0).flatten(0, -2) for tensor in (x, real))
    return order(flat, flat_real, bounded_temperature(temperature), triton=triton)


def _mark(found: Tensor, lists: Ordered) -> Tensor:
    """``[lists, dim, n]`` with NaN in the lists that hold one, and 0 where nothing is real."""
    found = found.masked_fill(lists.unknown.unsqueeze(1), float("nan"))
    return found.masked_fill(~lists.real.unsqueeze(1), 0.0)


def _to_items(found: Tensor, lists: Ordered) -> Tensor:
    """From places ``[lists, dim, n]`` back to where the items came from."""
    found = _mark(found, lists)
    return torch.zeros_like(found).scatter(2, lists.order.unsqueeze(1).expand_as(found), found)
