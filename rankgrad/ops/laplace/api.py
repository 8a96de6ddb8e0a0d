"""Ranks, thresholds, selections and sorted values by sums of Laplace distributions."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulation_dtype, as_lists
from rankgrad.ops._dispatch import Backend, Implementation, resolve_backend
from rankgrad.ops.laplace import library, reference

# Beyond these a temperature or its inverse would leave float32; differences are long all 0 or all infinite.
_LEAST, _MOST = 1e-37, 1e37


def ranks(x: Tensor, mask: Tensor | None, temperature: float, *, backend: Backend = "auto") -> Tensor:
    """``1/2 + sum_{j real} F((x_j - x_i) / temperature)`` of each list, F the Laplace distribution function.

    ``F(z)`` is ``exp(z) / 2`` below 0 and ``1 - exp(-z) / 2`` above. Never exactly the hard ranks: they differ by less
    than ``n exp(-gap / temperature) / 2``, ``gap`` being the smallest difference, which float32 rounds away below
    ``temperature = gap / 24``. An item's gradient falls as ``exp(-distance / temperature)`` with the distance to its
    nearest neighbour; it vanishes there too. Time is O(n log n), for the sort, and O(n) for the gradient. A rank is a
    place plus half a difference of sums of positive terms, and at least half the place. On a CPU, which adds in
    float64, it is therefore right to its last place, however long the list (at a million items float32 counts in steps
    of 1/16). Kernels add in float32: right to some 1e-6 of it, 1e-5 at temperatures hundreds of times the spread.

    Args:
        x: what is ranked, of any floating-point dtype. Infinite values rank beyond all finite ones and take no
            gradient.
        mask: True = a real item; None = all.
        temperature: softness, in the units of ``x``; above 0.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds the n x n matrix.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks, rank 1 the highest, 0 where masked; NaN at the real items of a list in which one is NaN. Only the
        reference is differentiable more than once.

    Reference:
        Struski, Bednarczyk, Podolak, Tabor: LapSum - one method to differentiate them all: ranking, sorting and top-k
        selection, ICML 2025.

    Example:
        >>> ranks(torch.tensor([3.0, 1.0, 1.0]), None, 0.1)
        tensor([1.0000, 2.5000, 2.5000])
    """
    temperature = min(max(temperature, _LEAST), _MOST)
    path = _implementation(backend, x, op="soft_rank")
    if path == "reference":
        return reference.ranks(x, mask, temperature)
    found, _ = library.ranks_op(_lists(x), _rows(mask), temperature, path == "triton")
    return found.view(x.shape)


def thresholds(
    x: Tensor, mask: Tensor | None, counts: Tensor, temperature: float | Tensor, *, backend: Backend = "auto"
) -> Tensor:
    """For each count the b with ``sum_{i real} F((x_i - b) / temperature) = count``, F the Laplace distribution.

    The b between the k-th and the next value as ``temperature`` tends to 0, for a whole k; the k-th value for
    ``k - 1/2``. Differentiable in ``x`` (a softmax of ``-|x - b| / temperature``, which sums to 1 and so never
    vanishes as a whole), in the counts and in the temperature; once. Time is O((n + m) log n).

    Args:
        x: of any floating-point dtype. Infinite values count as huge ones and take no gradient.
        mask: True = a real item; None = all.
        counts: real numbers. Up to 0 the threshold is ``inf``, from the number of real items on ``-inf``, without
            gradient.
        temperature: softness, in the units of ``x``; above 0.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds n x n and m x n matrices.

    Shape:
        x ``[..., n]``, counts ``[..., m]``, temperature ``[...]``, the last two broadcast to the leading axes of x;
        ``[..., m]``, float32 (float64 for float64).

    Returns:
        The thresholds; 0 of a list without a real item, NaN of one in which a real item is NaN.

    Example:
        >>> thresholds(torch.tensor([2.0, 1.0, 0.0]), None, torch.tensor([1.0, 1.5]), 1.0)
        tensor([1.6566, 1.0000])
    """
    dtype = accumulation_dtype(x=x)
    leading = x.shape[:-1]
    counts = counts.to(dtype).expand(*leading, counts.shape[-1])
    softness = _softness(temperature, x, dtype)
    path = _implementation(backend, x, op="soft_sort")
    if path == "reference" and x.shape[-1]:
        return reference.thresholds(x, mask, counts, softness.unsqueeze(-1))
    flat = counts.reshape(leading.numel(), counts.shape[-1])
    found, _ = library.thresholds_op(_lists(x), _rows(mask), flat, softness.reshape(-1), path == "triton")
    return found.view(counts.shape)


def top_k_weights(
    x: Tensor,
    mask: Tensor | None,
    k: float | Tensor,
    temperature: float | Tensor,
    *,
    backend: Backend = "auto",
) -> Tensor:
    """``F((x_i - b) / temperature)`` with b such that a list's weights sum to k, F the Laplace distribution function.

    Hard in float32 (1 for the k highest, else 0, k whole) once the k-th value and the next lie 48 temperatures apart,
    and there without gradient; tied ones share what is left for them. Differentiable in ``x`` (where each list's
    gradient sums to 0), k and the temperature; once. Time is O(n log n), and O(n) for the gradient.

    Args:
        x: of any floating-point dtype. Infinite values count as huge ones and take no gradient.
        mask: True = a real item; None = all.
        k: what a list's weights sum to, any real number. Up to 0 all weights are 0; from the number of real items on,
            also where a list has fewer than k, they are 1 at all real items; then without gradient.
        temperature: softness, in the units of ``x``; above 0.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds the n x n matrix.

    Shape:
        x ``[..., n]``; k and temperature are numbers or broadcast to its leading axes; ``[..., n]``, float32 (float64
        for float64).

    Returns:
        The weights, 0 where masked; NaN at the real items of a list in which one is NaN.

    Reference:
        Struski, Bednarczyk, Podolak, Tabor: LapSum - one method to differentiate them all: ranking, sorting and top-k
        selection, ICML 2025.

    Example:
        >>> top_k_weights(torch.tensor([2.0, 1.0, 0.0]), None, 1.0, 1.0)
        tensor([0.6453, 0.2593, 0.0954])
    """
    dtype = accumulation_dtype(x=x)
    count, softness = _per_list(k, x, dtype), _softness(temperature, x, dtype)
    path = _implementation(backend, x, op="soft_top_k")
    if path == "reference" and x.shape[-1]:
        return reference.weights(x, mask, count.unsqueeze(-1), softness.unsqueeze(-1))
    flat, softness = count.reshape(-1), softness.reshape(-1)
    found, _ = library.weights_op(_lists(x), _rows(mask), flat, softness, path == "triton")
    return found.view(x.shape)


def sorted_values(x: Tensor, mask: Tensor | None, temperature: float, *, backend: Backend = "auto") -> Tensor:
    """The values in descending order, softly: the :func:`thresholds` of ``1/2, 3/2, ...`` up to the real items.

    They differ from the sorted values by some ``temperature n exp(-gap / temperature)`` at most, ``gap`` being the
    smallest difference of two values, which float32 rounds away below ``temperature = gap / 24``. Each place hands on
    its whole gradient, so that over a list it sums to that of the result and never vanishes. As the temperature grows
    the values spread: those at the ends move beyond the list's own. Time is O(n log n). Differentiable once.

    Args:
        x: of any floating-point dtype. Infinite values count as huge ones and take no gradient.
        mask: True = a real item; None = all.
        temperature: softness, in the units of ``x``; above 0.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds n x n matrices.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The sorted values, then a 0 for each masked item; NaN at the real places of a list in which a real item is NaN.

    Example:
        >>> sorted_values(torch.tensor([2.0, 5.0, 3.0]), None, 0.01)
        tensor([5., 3., 2.])
    """
    counts = torch.arange(x.shape[-1], device=x.device, dtype=accumulation_dtype(x=x)) + 0.5
    found = thresholds(x, mask, counts, temperature, backend=backend)
    return found if mask is None else found.where(counts < mask.sum(dim=-1, keepdim=True), 0.0)


def _implementation(backend: Backend, x: Tensor, *, op: str) -> Implementation:
    return resolve_backend(
        backend,
        x.device,
        op=op,
        dtype=accumulation_dtype(x=x),
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )


def _softness(temperature: float | Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(temperature, Tensor):
        temperature = min(max(temperature, _LEAST), _MOST)
    return _per_list(temperature, x, dtype)


def _per_list(value: float | Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """A number, or one a list, as one a list ``[...]``."""
    if isinstance(value, Tensor):
        return value.to(dtype).expand(x.shape[:-1])
    return torch.full(x.shape[:-1], value, dtype=dtype, device=x.device)


def _lists(x: Tensor) -> Tensor:
    """``[lists, n]``, also where nothing is in a list; always alike in memory, so that sums run in the same order."""
    return as_lists(x).contiguous()


def _rows(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else _lists(mask)
