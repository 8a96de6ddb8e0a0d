"""Soft sorting by networks of soft comparators."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import sorted_order
from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops._dispatch import Backend, Implementation, resolve_backend
from rankgrad.ops.sorting_network import library, reference
from rankgrad.ops.sorting_network.distributions import DISTRIBUTIONS, Distribution
from rankgrad.ops.sorting_network.launch import LONGEST
from rankgrad.ops.sorting_network.wiring import Network, wiring

# Beyond these the temperature or its inverse would leave float32; differences are long all saturated, or all zero.
_LEAST, _MOST = 1e-37, 1e37


class _Compared(NamedTuple):
    """A list after its network."""

    wires: Tensor  # [layers + 1 or 1, ..., n]
    real: Tensor  # [..., n] the first m
    order: Tensor | None  # [..., n] where each came from; None = where it is
    unknown: Tensor  # [..., 1] a real item is NaN
    implementation: Implementation


def sorted_values(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    network: Network = "bitonic",
    distribution: Distribution = "cauchy",
    backend: Backend = "auto",
) -> Tensor:
    """The values, the highest first, as a network of soft comparators leaves them.

    A comparator of a above b gives ``F a + (1 - F) b`` above and ``(1 - F) a + F b`` below, ``F = F((a - b) /
    temperature)``. The sum of the values is kept. ``"bitonic"`` has ``log n (log n + 1) / 2`` layers, ``"odd_even"`` n.
    What comes out depends on where the items stood, unless all comparisons are saturated.

    F is the distribution function named: ``"logistic"``, whose comparators are hard to float32's rounding for values
    17.4 temperatures apart; ``"gaussian"``, 5.5 apart (there F's slope is below ``2e-7 / temperature``); ``"cauchy"``,
    which errs by up to ``temperature / pi`` a comparator however far apart values lie; and ``"optimal"``, by up to
    ``temperature / 16``: ``v + 1/2`` near 0, ``1 - 1 / (16 v)`` beyond 1/4. These two never sort exactly, but tend to
    it with the temperature, their gradients fall as ``(temperature / difference)^2`` only, and no result falls as a
    value rises. Equal values stay equal: F is 1/2. ``docs/ops/sorting_network.md`` derives it.

    Args:
        x: values; infinite ones are cut to the largest that can be subtracted and take no gradient.
        mask: True = a real item; None = all. The others sort to the end as 0, and the real ones go through their own,
            shorter network.
        temperature: one over the steepness, in the units of ``x``; above 0.
        network: ``"bitonic"`` or ``"odd_even"``.
        distribution: F.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., n]``, float32 (float64 for float64).

    Returns:
        The values in order; NaN at every real place of a list with a real NaN.

    Raises:
        InputError: for an unknown network or distribution, or a backend that cannot run.

    Reference:
        Petersen, Borgelt, Kuehne, Deussen: Differentiable sorting networks for scalable sorting and ranking
        supervision, ICML 2021; Monotonic differentiable sorting networks, ICLR 2022.

    Example:
        >>> x = torch.tensor([1.0, 3.0, 2.0])
        >>> sorted_values(x, None, 0.01, distribution="logistic"), sorted_values(x, None, 0.1, distribution="optimal")
        (tensor([3., 2., 1.]), tensor([2.9875, 2.0000, 1.0125]))
    """
    compared = _compare(
        x, mask, temperature, network, distribution, backend, keep=torch.is_grad_enabled() and x.requires_grad
    )
    result = compared.wires[-1].masked_fill(compared.unknown, float("nan"))
    return result if mask is None else result.masked_fill(~compared.real, 0.0)


def apply(
    x: Tensor,
    values: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    transpose: bool = False,
    network: Network = "bitonic",
    distribution: Distribution = "cauchy",
    backend: Backend = "auto",
) -> Tensor:
    """Vectors through the network that sorts ``x``: the matrix of :func:`matrix` times them, without the matrix.

    Args:
        x: values to order by.
        values: a vector an item, or with ``transpose`` a vector a place, which goes through the network backwards.
        mask: as in :func:`sorted_values`.
        temperature: as in :func:`sorted_values`.
        transpose: from places to items.
        network: as in :func:`sorted_values`.
        distribution: as in :func:`sorted_values`.
        backend: as in :func:`sorted_values`.

    Shape:
        x ``[..., n]``, values ``[..., n, d]`` -> ``[..., n, d]``.

    Example:
        >>> x, values = torch.tensor([1.0, 3.0]), torch.tensor([[10.0], [30.0]])
        >>> apply(x, values, None, 0.01, distribution="logistic")
        tensor([[30.],
                [10.]])
    """
    dtype = accumulation_dtype(x=x, values=values)
    compared = _compare(x.to(dtype), mask, temperature, network, distribution, backend, keep=True)
    weights = values.to(dtype)
    index = None if compared.order is None else compared.order.unsqueeze(-1).expand(values.shape)
    gone, unknown = ~compared.real.unsqueeze(-1), compared.unknown.unsqueeze(-1)
    if index is not None and not transpose:
        weights = weights.gather(-2, index)
    if mask is not None:
        weights = weights.masked_fill(gone, 0.0)
    found = _push(compared, weights, temperature, network, distribution, transpose)
    found = found.masked_fill(unknown, float("nan")).masked_fill(gone, 0.0)
    if index is not None and transpose:
        return torch.zeros_like(found).scatter(-2, index, found)
    return found


def matrix(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    network: Network = "bitonic",
    distribution: Distribution = "cauchy",
    backend: Backend = "auto",
) -> Tensor:
    """How much of each item the network leaves at each place; rows and columns of the real ones sum to 1.

    Args:
        x: values to order by.
        mask: as in :func:`sorted_values`.
        temperature: as in :func:`sorted_values`.
        network: as in :func:`sorted_values`.
        distribution: as in :func:`sorted_values`.
        backend: as in :func:`sorted_values`.

    Shape:
        ``[..., n]`` -> ``[..., places, items]``, highest place first; 0 where there is no item or no place.

    Example:
        >>> matrix(torch.tensor([1.0, 3.0]), None, 2.0, distribution="logistic")
        tensor([[0.2689, 0.7311],
                [0.7311, 0.2689]])
    """
    n = x.shape[-1]
    identity = torch.eye(n, dtype=accumulation_dtype(x=x), device=x.device).expand(*x.shape, n)
    found = apply(x, identity, mask, temperature, network=network, distribution=distribution, backend=backend)
    return found if mask is None else found.masked_fill(~mask.unsqueeze(-2), 0.0)


def ranks(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    network: Network = "bitonic",
    distribution: Distribution = "cauchy",
    backend: Backend = "auto",
) -> Tensor:
    """1-based soft ranks, rank 1 the highest: the numbers of the places, through the network backwards.

    They sum to ``m (m + 1) / 2``. Among three and more equal items they may differ, by where the items stood.

    Args:
        x: values to rank.
        mask: as in :func:`sorted_values`; masked items get rank 0.
        temperature: as in :func:`sorted_values`.
        network: as in :func:`sorted_values`.
        distribution: as in :func:`sorted_values`.
        backend: as in :func:`sorted_values`.

    Shape:
        ``[..., n]``.

    Example:
        >>> ranks(torch.tensor([1.0, 3.0, 2.0]), None, 0.01, distribution="logistic")
        tensor([3., 1., 2.])
    """
    places = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=accumulation_dtype(x=x))
    places = places.expand(x.shape).unsqueeze(-1)
    return apply(
        x, places, mask, temperature, transpose=True, network=network, distribution=distribution, backend=backend
    ).squeeze(-1)


def _compare(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    network: Network,
    distribution: Distribution,
    backend: Backend,
    *,
    keep: bool,
) -> _Compared:
    """Send the values through the network, real ones first, keeping what stood on the wires where it is needed."""
    if network not in ("bitonic", "odd_even"):
        raise InputError(f'network: expected "bitonic" or "odd_even", got {network!r}')
    if distribution not in DISTRIBUTIONS:
        raise InputError(f"distribution: expected one of {', '.join(DISTRIBUTIONS)}, got {distribution!r}")
    dtype = accumulation_dtype(x=x)
    implementation = _implementation(x, dtype, backend)
    order, real = None, torch.ones_like(x, dtype=torch.bool)
    limit = torch.finfo(dtype).max / 4
    unknown = x.isnan() if mask is None else x.isnan() & mask
    unknown = unknown.any(dim=-1, keepdim=True)
    gone = unknown if mask is None else unknown | ~mask
    values = x.masked_fill(gone, 0.0).to(dtype).clamp(-limit, limit)
    if mask is not None:
        # Real items in front, in the order in which they stood.
        order = sorted_order.order(mask.byte(), backend="triton" if implementation == "triton" else "reference")
        real, values = mask.gather(-1, order), values.gather(-1, order)
    count = real.sum(dim=-1, keepdim=True)
    temperature = min(max(temperature, _LEAST), _MOST)
    if implementation == "reference":
        wires = reference.wires(values, count, temperature, network, distribution)
    else:
        flat, counts = values.unsqueeze(0).flatten(0, -2), count.flatten()
        triton = implementation == "triton"
        wires = library.wires_op(flat, counts, temperature, network, distribution, keep, triton)
        wires = wires.view(len(wires), *x.shape) if x.dim() != 2 else wires
    return _Compared(wires, real, order, unknown, implementation)


def _push(
    compared: _Compared,
    weights: Tensor,
    temperature: float,
    network: Network,
    distribution: Distribution,
    reverse: bool,
) -> Tensor:
    if compared.wires.shape[-1] < 2:
        # No comparator is passed, and still there is a gradient: zero.
        return weights + 0 * compared.wires[-1].unsqueeze(-1)
    before = compared.wires[:-1]
    partner, least = wiring(network, before.shape[-1], before.device)
    count = compared.real.sum(dim=-1, keepdim=True)
    spread = (len(partner), *[1] * (before.dim() - 2), before.shape[-1])
    partners = partner.view(spread)
    temperature = min(max(temperature, _LEAST), _MOST)
    opposite = before.gather(-1, partners.expand(before.shape))
    least = least.view(len(partner), *[1] * (before.dim() - 1))
    share = reference.shares(before, opposite, partners, least, count, temperature, distribution)
    if compared.implementation == "reference":
        return reference.push(share, weights, partner, reverse)
    n, d = weights.shape[-2:]
    flat = weights.reshape(-1, n, d) if weights.numel() else weights.unsqueeze(0).flatten(0, -3)
    shares = share.reshape(len(share), len(flat), n)
    return library.push_op(shares, flat, network, reverse, compared.implementation == "triton").view(weights.shape)


def _implementation(x: Tensor, dtype: torch.dtype, backend: Backend) -> Implementation:
    found = resolve_backend(
        backend,
        x.device,
        op="sorting_network",
        dtype=dtype,
        kernels=True,
        tiled_devices=None,
        compiles=True,
    )
    if found == "triton" and x.shape[-1] > LONGEST:
        if backend == "triton":
            remedy = f'use "auto" for lists of more than {LONGEST}'
            raise InputError(f'backend: "triton" sorts at most {LONGEST} items, got {x.shape[-1]}; {remedy}')
        return "tiled"
    return found
