"""Relaxed permutations: the matrix, and its product with values."""

from __future__ import annotations

from typing import Any, Unpack, get_args

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import relaxed_permutation, sinkhorn
from rankgrad.ops import sorting_network as network
from rankgrad.ops._arguments import accumulate, real_items
from rankgrad.ops._dispatch import Backend
from rankgrad.ops._spread import in_deviations
from rankgrad.ops.soft_methods import MethodOptions, PermutationMethod, check_method

_MOST_ITEMS = 4096


def soft_permutation(
    x: Tensor,
    *,
    temperature: float,
    method: PermutationMethod = "softsort",
    relative: bool = False,
    descending: bool = True,
    mask: Tensor | None = None,
    **options: Unpack[MethodOptions],
) -> Tensor:
    """The relaxed permutation that sorts a list: row i says who holds place i, and sums to 1.

    - ``"softsort"``: ``P_ij = softmax_j(-|s_i - x_j| / temperature)``, s the sorted values.
    - ``"neuralsort"``: ``P_ij = softmax_j(((n + 1 - 2 i) x_j - sum_k |x_j - x_k|) / temperature)``.
    - ``"sinkhorn"``: entropic transport between items and places; columns sum to 1 too as it converges.
    - ``"network"``: the product of the relaxed exchanges of a sorting network; columns sum to 1 too. The only one that
      may depend on the order of the items.

    All tend to the permutation matrix as the temperature falls to 0, where the gradient vanishes; with the first two
    it has from some 17 times below the smallest difference on. Tied items share their places, and then the first two
    are singular.

    Args:
        x: values by which to sort; at most 4096 a list, since the matrix is held: else use :func:`soft_permute`.
        temperature: softness, in the units of ``x``, or of its spread where ``relative``; above 0.
        method: which definition, see above.
        relative: multiply the temperature by the list's standard deviation.
        descending: the first row is the highest value's, else the lowest's.
        mask: True = a real item; columns of masked items, and rows of places beyond the real ones, are 0.
        **options: of the method alone, see :class:`rankgrad.ops.soft_methods.MethodOptions`.

    Shape:
        ``[..., items] -> [..., items, items]``, float32 (float64 for float64).

    Returns:
        The matrix, differentiable; NaN in the real rows and columns of a list in which a real item is NaN.

    Raises:
        InputError: for a list too long, a temperature not above 0, an unknown method or option, or a mask of another
            shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Prillo, Eisenschlos: SoftSort, ICML 2020. Grover, Wang, Zweig, Ermon: Stochastic optimization of sorting
        networks via continuous relaxations, ICLR 2019. Cuturi, Teboul, Vert: Differentiable ranks and sorting using
        optimal transport, NeurIPS 2019. Petersen, Borgelt, Kuehne, Deussen: Differentiable sorting networks for
        scalable sorting and ranking supervision, ICML 2021.

    Example:
        >>> soft_permutation(torch.tensor([1.0, 3.0]), temperature=1.0)
        tensor([[0.1192, 0.8808],
                [0.8808, 0.1192]])
    """
    check_method(method, get_args(PermutationMethod), temperature, options)
    real = real_items(x, mask, "x")
    if x.shape[-1] > _MOST_ITEMS:
        raise InputError(f"x: expected at most {_MOST_ITEMS} items, got {x.shape[-1]}; apply it with soft_permute")
    x = _ready(x, real, relative=relative, descending=descending)
    if method in ("softsort", "neuralsort"):
        return relaxed_permutation.matrix(x, mask, temperature, method=method)
    operator: Any = {"sinkhorn": sinkhorn, "network": network}[method]
    return operator.matrix(x, mask, temperature, **options)


def soft_permute(
    x: Tensor,
    values: Tensor,
    *,
    temperature: float,
    method: PermutationMethod = "softsort",
    transpose: bool = False,
    relative: bool = False,
    descending: bool = True,
    mask: Tensor | None = None,
    backend: Backend = "auto",
    **options: Unpack[MethodOptions],
) -> Tensor:
    """The relaxed permutation of ``x`` times values, streamed: the matrix is never held.

    Args:
        x: values by which to sort.
        values: what is brought in that order: one number an item, or a vector.
        temperature: softness, in the units of ``x``, or of its spread where ``relative``; above 0.
        method: as in :func:`soft_permutation`.
        transpose: from places back to items: ``values`` belong to places, and item j receives ``sum_i P_ij values_i``.
        relative: multiply the temperature by the list's standard deviation.
        descending: the first place is the highest value's, else the lowest's.
        mask: True = a real item; a masked item gives nothing, and places beyond the real ones (transposed: masked
            items) receive 0.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds the matrix.
        **options: of the method alone, see :class:`rankgrad.ops.soft_methods.MethodOptions`.

    Shape:
        x ``[..., items]``, values ``[..., items]`` or ``[..., items, dim]`` -> the shape of values, float32 (float64
        where an operand is float64).

    Raises:
        InputError: for values of another shape, and as :func:`soft_permutation`.
        TypeError: for operands that are not floating point or a mask that is not bool.

    Example:
        >>> gains = torch.tensor([[0.0, 7.0, 1.0]])
        >>> soft_permute(torch.tensor([[0.1, 0.9, 0.5]]), gains, temperature=0.001)
        tensor([[7., 1., 0.]])
    """
    check_method(method, get_args(PermutationMethod), temperature, options)
    real = real_items(x, mask, "x")
    vectors = values.dim() == x.dim() + 1
    if values.shape[: x.dim()] != x.shape or values.dim() > x.dim() + 1:
        wanted = f"{list(x.shape)} or {[*x.shape, 'dim']}"
        raise InputError(f"values: expected shape {wanted}, got {list(values.shape)}; use .expand")
    x = _ready(x, real, relative=relative, descending=descending)
    values = accumulate(values, "values")
    dtype = torch.promote_types(x.dtype, values.dtype)
    x, values = x.to(dtype), values.to(dtype)
    values = values if vectors else values.unsqueeze(-1)
    if method in ("softsort", "neuralsort"):
        result = relaxed_permutation.apply(
            x, values, mask, temperature, method=method, transpose=transpose, backend=backend
        )
    else:
        operator: Any = {"sinkhorn": sinkhorn, "network": network}[method]
        result = operator.apply(x, values, mask, temperature, transpose=transpose, backend=backend, **options)
    return result if vectors else result.squeeze(-1)


def _ready(x: Tensor, real: Tensor, *, relative: bool, descending: bool) -> Tensor:
    x = accumulate(x, "x")
    x = in_deviations(x, real)[0] if relative else x
    return x if descending else -x
