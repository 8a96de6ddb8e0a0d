"""Logarithms of sums of exponentials from each item to the end of its list."""

from __future__ import annotations

from torch import Tensor

from rankgrad.ops._arguments import accumulate, accumulation_dtype, real_items
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.scans import library, reference


def reverse_logcumsumexp(x: Tensor, *, mask: Tensor | None = None, backend: Backend = "auto") -> Tensor:
    """``y_i = log sum_{j >= i} exp(x_j)``: the normaliser of what is left when the items before i are taken.

    A sum of nothing but ``-inf`` is ``-inf``, one with an ``inf`` is ``inf``; neither hands on a gradient. Else ``x_i``
    receives ``sum_{j <= i} g_j exp(x_i - y_j)``, by a scan in the other direction. Time is O(n).

    Args:
        x: logits, in the order in which items are taken.
        mask: True = a real item; masked ones take no part, and are 0 in the result.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds the n x n matrix.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The logarithms; NaN from a real NaN back to the start of its list. Only the reference is differentiable more
        than once.

    Raises:
        InputError: for a mask of another shape, or a backend that cannot run.
        TypeError: for ``x`` that is not floating point or a mask that is not bool.

    Example:
        >>> import torch
        >>> reverse_logcumsumexp(torch.tensor([0.0, 0.0, 0.0]))
        tensor([1.0986, 0.6931, 0.0000])
    """
    dtype = accumulation_dtype(x=x)
    real = real_items(x, mask, "x")
    path = resolve_backend(
        backend,
        x.device,
        op="reverse_logcumsumexp",
        dtype=dtype,
        kernels=True,
        tiled_devices=("cpu", "meta"),
        compiles=True,
    )
    if mask is not None:
        x = x.masked_fill(~real, float("-inf"))
    if path == "reference":
        result = reference.reverse_logcumsumexp(accumulate(x, "x"))
    else:
        lists = x.unsqueeze(0).flatten(0, -2)
        result = library.reverse_logcumsumexp(lists, path == "triton").view(x.shape)
    return result if mask is None else result.masked_fill(~real, 0.0)
