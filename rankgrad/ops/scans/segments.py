"""Sums of the segments of a packed axis."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate
from rankgrad.ops.scans import library, reference


def segment_sum(x: Tensor, cu_seqlens: Tensor) -> Tensor:
    """``y_s = sum_i x_i`` over the rows i from ``cu_seqlens[s]`` up to ``cu_seqlens[s + 1]``; 0 for an empty segment.

    Each segment is added up by itself, in float64 and in the order of its rows: neither long segments nor what other
    segments hold, NaN included, touch it, and results repeat bit for bit. Differentiable any number of times.

    Args:
        x: rows of all segments, one after another.
        cu_seqlens: where segments start, then the number of rows. Checked on a CPU only, since looking at a device
            waits for it; there, rows of no segment count for nothing.

    Shape:
        x ``[tokens, ...]``, cu_seqlens int32 ``[segments + 1]`` -> ``[segments, ...]``, float32 (float64 for float64).

    Raises:
        InputError: for ``x`` without an axis, offsets that are not a list on the device of ``x``, do not start at 0,
            fall, or do not end at the number of rows.
        TypeError: for ``x`` that is not floating point or offsets that are not int32.

    Example:
        >>> segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2, 3], dtype=torch.int32))
        tensor([3., 0., 3.])
    """
    wide = accumulate(x, "x")
    if x.dim() == 0:
        raise InputError("x: expected rows on the first axis, got a tensor without axes; add one with [None]")
    if cu_seqlens.dtype != torch.int32:
        raise TypeError(f"cu_seqlens: expected int32, got {cu_seqlens.dtype}; convert it with .int()")
    if cu_seqlens.dim() != 1 or not len(cu_seqlens):
        raise InputError(f"cu_seqlens: expected [segments + 1], got {list(cu_seqlens.shape)}")
    if cu_seqlens.device != x.device:
        raise InputError(
            f"cu_seqlens: expected it on {x.device}, where x is, got {cu_seqlens.device}; use .to(x.device)"
        )
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return reference.segment_sum(wide, cu_seqlens)
    return library.segment_sum_op(x, cu_seqlens)
