"""From lists to kernel launches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._launch import on_device_of
from rankgrad.ops.sorting_network.distributions import DISTRIBUTIONS, Distribution
from rankgrad.ops.sorting_network.wiring import Network, layer_count

# A list's wires are held in registers: eight a thread, of as many threads as a program may have.
LONGEST = 2048


def wires(
    x: Tensor, count: Tensor, temperature: float, network: Network, distribution: Distribution, keep: bool
) -> Tensor:
    """What stands on the wires of ``[lists, n]`` before each layer and after the last; without ``keep`` only the last.

    Shape:
        ``[layers + 1, lists, n]`` in float32.
    """
    from rankgrad.ops.sorting_network import kernels

    kernel: Any = kernels._network_wires_kernel
    lists, n = x.shape
    layers = layer_count(network, n)
    found = torch.empty((layers + 1 if keep else 1, lists, n), dtype=torch.float32, device=x.device)
    if found.numel():
        constants = {"DISTRIBUTION": DISTRIBUTIONS.index(distribution), "KEEP": keep, **_sizes(network, n)}
        on_device_of(x, kernel, (lists,))(
            x.float().contiguous(), count.contiguous(), found, lists, n, layers, 1 / temperature, **constants
        )
    return found


def wires_backward(
    gradients: Tensor, found: Tensor, count: Tensor, temperature: float, network: Network, distribution: Distribution
) -> Tensor:
    """The gradient of the values, from those of all wires."""
    from rankgrad.ops.sorting_network import kernels

    kernel: Any = kernels._network_wires_backward_kernel
    _, lists, n = found.shape
    result = torch.empty((lists, n), dtype=torch.float32, device=found.device)
    if result.numel():
        constants = {"DISTRIBUTION": DISTRIBUTIONS.index(distribution), **_sizes(network, n)}
        on_device_of(found, kernel, (lists,))(
            gradients.contiguous(),
            found.contiguous(),
            count.contiguous(),
            result,
            lists,
            n,
            layer_count(network, n),
            1 / temperature,
            **constants,
        )
    return result


def push(share: Tensor, values: Tensor, network: Network, reverse: bool) -> Tensor:
    """``values [lists, n, d]`` through comparators that keep ``share [layers, lists, n]``, or backwards."""
    return _push(share, values, network, reverse, keep=False)[0].mT.contiguous()


def push_backward(
    gradient: Tensor, share: Tensor, values: Tensor, network: Network, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of the shares and of the values; what stood on the wires is made again."""
    from rankgrad.ops.sorting_network import kernels

    kernel: Any = kernels._network_push_backward_kernel
    lists, n, width = values.shape
    layers = layer_count(network, n)
    of_share = torch.zeros((layers, lists, n), dtype=torch.float32, device=values.device)
    of_values = torch.empty((lists, width, n), dtype=torch.float32, device=values.device)
    if of_values.numel():
        stood = _push(share, values, network, reverse, keep=True)
        on_device_of(values, kernel, (lists,))(
            gradient.mT.contiguous(),
            share.contiguous(),
            stood,
            of_share,
            of_values,
            lists,
            n,
            width,
            layers,
            REVERSE=reverse,
            **_sizes(network, n),
        )
    return of_share, of_values.mT.contiguous()


def _push(share: Tensor, values: Tensor, network: Network, reverse: bool, *, keep: bool) -> Tensor:
    """What stands on the wires at the end, or with ``keep`` before each layer, ``[1 or layers, lists, d, n]``."""
    from rankgrad.ops.sorting_network import kernels

    kernel: Any = kernels._network_push_kernel
    lists, n, width = values.shape
    layers = layer_count(network, n)
    found = torch.empty((layers if keep else 1, lists, width, n), dtype=torch.float32, device=values.device)
    if found.numel():
        constants = {"REVERSE": reverse, "KEEP": keep, **_sizes(network, n)}
        on_device_of(values, kernel, (lists * width,))(
            values.mT.contiguous(), share.contiguous(), found, lists, n, width, layers, **constants
        )
    return found


def _sizes(network: Network, n: int) -> dict[str, Any]:
    block = 1 << max(1, (n - 1).bit_length())
    # Eight items a thread; both are powers of two.
    return {"BITONIC": network == "bitonic", "BLOCK": block, "num_warps": max(1, min(16, block // 256))}
