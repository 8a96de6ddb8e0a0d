"""From long lists to kernel launches: a sort, then a launch for each thing that chunks must know of each other."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of
from rankgrad.ops.laplace import launch
from rankgrad.ops.laplace.lists import sorting_keys
from rankgrad.ops.pairwise_rank.reference import bound


def ranks(values: Tensor, mask: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """Ranks ``[lists, n]`` in float32, and the order (int32)."""
    from rankgrad.ops.laplace import long_kernels

    order = sorting_keys(values, mask).sort(dim=1, descending=True, stable=True).indices.int()
    values = launch.rows(values)
    count, n = values.shape
    size, chunks = launch.chunking(n)
    found = torch.empty_like(values, dtype=torch.float32, memory_format=torch.contiguous_format)
    through, carries = (found.new_empty((2, count, chunks)) for _ in range(2))
    operands = (values, launch.flags(mask), order, _unknown(values, mask), found, through, carries)
    numbers = (values.stride(0), count, n, chunks, math.log2(math.e) / temperature, bound(torch.float32))
    options = {"MASKED": mask is not None, "CHUNK": size, "num_warps": launch.warps(size)}
    kernel: Any = long_kernels._laplace_long_rank_kernel
    on_device_of(values, kernel, (count * chunks,))(*operands, *numbers, PART=long_kernels.FIRST.value, **options)
    launch.chain_chunks(through, carries)
    on_device_of(values, kernel, (count * chunks,))(*operands, *numbers, PART=long_kernels.RESULT.value, **options)
    return found, order


def ranks_gradient(values: Tensor, mask: Tensor | None, temperature: float, order: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of the values, in their dtype."""
    from rankgrad.ops.laplace import long_kernels

    values = launch.rows(values)
    count, n = values.shape
    size, chunks = launch.chunking(n)
    result = torch.empty_like(values, memory_format=torch.contiguous_format)
    ends = [torch.empty((2, count, chunks), dtype=torch.float32, device=values.device) for _ in range(4)]
    sorted_lists = (values, launch.flags(mask), order, _unknown(values, mask))
    numbers = (values.stride(0), count, n, chunks, math.log2(math.e) / temperature, bound(torch.float32))
    options = {"MASKED": mask is not None, "CHUNK": size, "num_warps": launch.warps(size)}
    first: Any = long_kernels._laplace_long_rank_kernel
    # Of the first launch's results only the ends are asked for.
    on_device_of(values, first, (count * chunks,))(
        *sorted_lists, ends[0], *ends[:2], *numbers, PART=long_kernels.FIRST.value, **options
    )
    launch.chain_chunks(*ends[:2])
    second: Any = long_kernels._laplace_long_rank_backward_kernel
    operands = (*sorted_lists, upstream.float().contiguous(), result, *ends)
    for part in (long_kernels.SECOND, long_kernels.RESULT):
        on_device_of(values, second, (count * chunks,))(
            *operands, *numbers, 0.5 / temperature, PART=part.value, **options
        )
        if part is long_kernels.SECOND:
            launch.chain_chunks(*ends[2:])
    return result


def _unknown(values: Tensor, mask: Tensor | None) -> Tensor:
    """Lists in which a real item is NaN, as uint8."""
    unknown = values.isnan() if mask is None else values.isnan() & mask
    return unknown.any(dim=1).view(torch.uint8)
