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
    # Computed where they are used: lists would be copied there, which the host would wait for.
    wires, layers = (torch.arange(count, device=device) for count in (n, layer_count(network, n)))
    if network == "odd_even":
        partner = wires + 1 - 2 * ((wires + layers.unsqueeze(1)) % 2)
        return torch.where((partner < 0) | (partner >= n), wires, partner), layers
    # The stage that is counted as s has s + 1 layers, and s (s + 1) / 2 lie before it.
    stages = torch.arange(1, (n - 1).bit_length() + 1 if n > 1 else 1, device=device)
    stage = (layers.unsqueeze(1) >= stages * (stages + 1) // 2).sum(dim=1)
    step, one = layers - stage * (stage + 1) // 2, torch.ones_like(layers)
    # Two sorted halves meet end to end, then wires ever closer.
    flips = torch.where(step == 0, (one << (stage + 1)) - 1, one << (stage - step))
    partner = wires ^ flips.unsqueeze(1)
    return torch.where(partner >= n, wires, partner), one << stage
