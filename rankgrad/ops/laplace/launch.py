"""From lists to kernel launches."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops import sorted_order
from rankgrad.ops._launch import on_device_of
from rankgrad.ops.laplace.lists import Scan, SortedLists, in_order, next_of, sorting_keys
from rankgrad.ops.pairwise_rank.reference import bound

# Lists up to here are sorted, ranked and brought back by one program each, in registers.
LONGEST = 2048
_CHUNK = 2048
_CARRIES = 1024


def ranks(values: Tensor, mask: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """Ranks ``[lists, n]`` in float32 and the order (int32) of lists of at most ``LONGEST`` items."""
    from rankgrad.ops.laplace import kernels

    kernel: Any = kernels._laplace_rank_kernel
    values = rows(values)
    found = torch.empty_like(values, dtype=torch.float32, memory_format=torch.contiguous_format)
    order = torch.empty_like(found, dtype=torch.int32)
    on_device_of(values, kernel, (len(values),))(
        values,
        flags(mask),
        found,
        order,
        values.stride(0),
        values.shape[1],
        math.log2(math.e) / temperature,
        bound(torch.float32),
        MASKED=mask is not None,
        **_sizes(values.shape[1]),
    )
    return found, order


def ranks_gradient(values: Tensor, mask: Tensor | None, temperature: float, order: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of the values, in their dtype, for lists of at most ``LONGEST`` items."""
    from rankgrad.ops.laplace import kernels

    kernel: Any = kernels._laplace_rank_backward_kernel
    values = rows(values)
    result = torch.empty_like(values, memory_format=torch.contiguous_format)
    on_device_of(values, kernel, (len(values),))(
        values,
        flags(mask),
        order,
        upstream.float().contiguous(),
        result,
        values.stride(0),
        values.shape[1],
        math.log2(math.e) / temperature,
        bound(torch.float32),
        0.5 / temperature,
        MASKED=mask is not None,
        **_sizes(values.shape[1]),
    )
    return result


def sort(values: Tensor, mask: Tensor | None, temperature: Tensor, known_order: Tensor | None) -> SortedLists:
    """Lists ``[lists, n]`` in descending order."""
    order = known_order
    if order is None:
        keys = sorting_keys(values, mask)
        if sorted_order.kernels_run(keys, "triton"):
            order = sorted_order.order(keys, mask, backend="triton")
        else:
            order = keys.argsort(dim=-1, descending=True, stable=True)
    return in_order(values, mask, temperature, order.long(), torch.float32)


def scanner(lists: SortedLists) -> Scan:
    """Running sums over lists. A long list is cut to chunks, each of which is summed, and again with what came in."""
    distances = lists.gaps() * math.log2(math.e)

    def sums(above: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
        from rankgrad.ops.laplace import kernels

        kernel: Any = kernels._laplace_scan_kernel
        count, n = distances.shape
        size, chunks = chunking(n)
        found = distances.new_empty((2, count, n))
        through, carries = (distances.new_empty((2, count, chunks)) for _ in range(2))
        operands = (distances, above.contiguous(), below.contiguous(), found, through, carries, count, n, chunks)

        def launch(part: Any) -> None:
            on_device_of(distances, kernel, (2 * count * chunks,))(
                *operands, PART=part.value, CHUNK=size, num_warps=warps(size)
            )

        if chunks == 1:
            launch(kernels.ALONE)
        else:
            launch(kernels.SUMMARY)
            chain_chunks(through, carries)
            launch(kernels.CONTINUED)
        up, down = found
        return up, down

    def neighbours() -> tuple[Tensor, Tensor]:
        factors = lists.factors()
        return sums(factors, next_of(factors))

    return Scan(neighbours, sums)


def chunking(n: int) -> tuple[int, int]:
    """Items of a chunk, and chunks of a list."""
    size = min(_CHUNK, _power_of_two(n))
    return size, -(-n // size)


def chain_chunks(through: Tensor, carries: Tensor) -> None:
    """Turn what each chunk adds, ``carries [2, lists, chunks]``, into what all up to it add, in place."""
    from rankgrad.ops.laplace import kernels

    kernel: Any = kernels._laplace_carry_kernel
    chunks = carries.shape[-1]
    block = min(_CARRIES, _power_of_two(chunks))
    on_device_of(carries, kernel, (carries.shape[0] * carries.shape[1],))(
        through, carries, chunks, BLOCK=block, num_warps=warps(block)
    )


def _sizes(n: int) -> dict[str, int]:
    block = _power_of_two(n)
    return {"BLOCK": block, "num_warps": warps(block)}


def _power_of_two(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length())


def warps(block: int) -> int:
    """Eight items a thread; both are powers of two."""
    return max(1, min(8, block // 256))


def rows(values: Tensor) -> Tensor:
    return values if values.stride(-1) == 1 else values.contiguous()


def flags(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)
