"""Differentiable selection of the highest items."""

from __future__ import annotations

from typing import Any, Unpack, get_args

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import gumbel_top_k, laplace, p_norm_top_k, relaxed_permutation
from rankgrad.ops._arguments import accumulate, real_items
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops._spread import in_deviations
from rankgrad.ops._straight_through import straight_through as with_value
from rankgrad.ops.ranking import hard_rank
from rankgrad.ops.soft_methods import MethodOptions, TopKMethod, check_method


def soft_top_k(
    x: Tensor,
    k: float | Tensor,
    *,
    temperature: float | Tensor,
    method: TopKMethod = "laplace",
    largest: bool = True,
    relative: bool = False,
    mask: Tensor | None = None,
    straight_through: bool = False,
    backend: Backend = "auto",
    **options: Unpack[MethodOptions],
) -> Tensor:
    """How much of each item is among the k highest: weights from 0 to 1 that sum to k.

    - ``"laplace"``: ``F((x_i - b) / temperature)``, F the distribution function of Laplace and b the threshold at which
      they sum to k. ``k`` may be any number and, like the temperature, a tensor that receives a gradient. O(n log n).
    - ``"isotonic"``: the projection of ``x / temperature`` on the weights that sum to k. Sparse: exactly 0 or 1 where
      the k-th and the next value are ``temperature`` apart. O(n log n).
    - ``"p_norm"``: the same with the norm 4/3 in place of 2, which makes it differentiable everywhere.
    - ``"neuralsort"``: the sum of the first k rows of the relaxed permutation, for whole k; it may exceed 1. O(n^2).
    - ``"gumbel"``: k relaxed draws without replacement, with odds ``exp(x_i / temperature)``, averaged over
      ``samples``; for whole k.

    With the temperature to 0 all but the last give 1 for the k highest and 0 for the rest, without a gradient.

    Args:
        x: values.
        k: how many; from 0 to the number of items. A list with fewer real items has weight 1 at each.
        temperature: softness, in the units of ``x``, or of its spread where ``relative``; above 0.
        method: which definition, see above.
        largest: the highest, else the lowest.
        relative: multiply the temperature by the list's standard deviation.
        mask: True = a real item; masked items get weight 0 and zero gradient, and count for nobody.
        straight_through: give weight 1 to the k highest exactly (of equal ones to the first), with the gradient of the
            soft weights; for whole k.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.
        **options: of the method alone, see :class:`rankgrad.ops.soft_methods.MethodOptions`.

    Shape:
        x ``[..., items]``; k and temperature numbers, or tensors of the leading axes. The weights ``[..., items]`` are
        float32 (float64 for float64).

    Returns:
        The weights; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for k below 0 or above the number of items, or not whole where it must be; a temperature not above
            0; an unknown method or option; a backend that cannot run; a mask of another shape.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Reference:
        Struski et al.: LapSum, one method to differentiate them all, ICML 2025 (laplace). Sander et al.: Fast,
        differentiable and sparse top-k, ICML 2023 (isotonic, p_norm). Grover, Wang, Zweig, Ermon: Stochastic
        optimization of sorting networks via continuous relaxations, ICLR 2019 (neuralsort). Xie, Ermon:
        Reparameterizable subset sampling via continuous relaxations, IJCAI 2019 (gumbel).

    Example:
        >>> soft_top_k(torch.tensor([0.3, 0.9, 0.1, 0.8]), 2, temperature=0.1).round(decimals=2)
        tensor([0.0500, 0.9900, 0.0100, 0.9600])
    """
    check_method(method, get_args(TopKMethod), temperature, options)
    real = real_items(x, mask, "x")
    _check_count(k, x.shape[-1], whole=straight_through or method in ("neuralsort", "gumbel"), tensors=method)
    if isinstance(temperature, Tensor) and method != "laplace":
        raise InputError(f'temperature: expected a number with method="{method}", got a tensor')
    x = accumulate(x, "x")
    x = in_deviations(x, real)[0] if relative else x
    x = x if largest else -x
    weights = _weights(x, mask, k, temperature, method, backend, options)
    if not straight_through:
        return weights
    ranks = hard_rank(x, mask=mask)
    chosen = ((ranks >= 1) & (ranks <= k)).to(weights.dtype)
    return with_value(chosen.masked_fill(ranks.isnan(), float("nan")), weights)


def _weights(
    x: Tensor, mask: Tensor | None, k: Any, temperature: Any, method: str, backend: Backend, options: Any
) -> Tensor:
    if method == "laplace":
        return laplace.top_k_weights(x, mask, k, temperature, backend=backend)
    if method in ("gumbel", "isotonic", "p_norm"):
        # Plain torch on every device; a backend that they do not have is refused.
        resolve_backend(backend, x.device, op=f'soft_top_k(method="{method}")', dtype=x.dtype)
        if method == "gumbel":
            return gumbel_top_k.weights(x, mask, k, temperature, **options)
        return p_norm_top_k.weights(x, mask, k, temperature, p=2.0 if method == "isotonic" else 4 / 3)
    chosen = (torch.arange(x.shape[-1], device=x.device) < k).to(x.dtype).expand_as(x).unsqueeze(-1)
    return relaxed_permutation.apply(
        x, chosen, mask, temperature, method="neuralsort", transpose=True, backend=backend
    ).squeeze(-1)


def _check_count(k: float | Tensor, items: int, *, whole: bool, tensors: str) -> None:
    """Refuse a k that is no count of the list's items; the values of a tensor are its owner's."""
    if isinstance(k, Tensor):
        if whole or tensors != "laplace":
            raise InputError('k: expected a number, got a tensor; only method="laplace" takes one, softly')
        return
    if not 0 <= k <= items:
        raise InputError(f"k: expected a number from 0 to the {items} items of a list, got {k}")
    if whole and k != int(k):
        raise InputError(f'k: expected a whole number here, got {k}; method="laplace" takes any')
