"""Which wires a network compares, layer by layer."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Network: TypeAlias = Literal["bitonic", "odd_even"]


def layer_count(network: Network, n: int) -> int:
    """Layers for n wires: n, or half the square of their logarithm.

    Example:
        >>> [layer_count(network, 1000) for network in ("bitonic", "odd_even")]
        [55, 1000]
    """
    if n < 2:
        return 0
    stages = (n - 1).bit_length()
    return stages * (stages + 1) // 2 if network == "bitonic" else n


def wiring(network: Network, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The partner of each wire in each layer ``[layers, n]``, and how many items a list has more than, to need a layer.

    The higher of two goes to the wire of smaller number, so what stands at the end and is lower than all stays there,
    and comparators with it are left out: the network of n wires is that of 2^k wires without them. A wire without
    partner is its own.
    """
    wires = torch.arange(n, device=device)
    if network == "odd_even":
        layers = torch.arange(layer_count(network, n), device=device)
        partner = wires + 1 - 2 * ((wires + layers.unsqueeze(1)) % 2)
        return torch.where((partner < 0) | (partner >= n), wires, partner), layers
    flips: list[int] = []
    least: list[int] = []
    for stage in range(1, (n - 1).bit_length() + 1 if n > 1 else 1):
        # Two sorted halves meet end to end, then wires ever closer.
        flips += [(1 << stage) - 1, *(1 << step for step in reversed(range(stage - 1)))]
        least += [1 << (stage - 1)] * stage
    partner = wires ^ torch.tensor(flips, dtype=torch.int64, device=device).unsqueeze(1)
    return torch.where(partner >= n, wires, partner), torch.tensor(least, dtype=torch.int64, device=device)
