"""Networks by their definition, layer by layer."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops.sorting_network.distributions import Distribution, cumulative
from rankgrad.ops.sorting_network.wiring import Network, wiring


def wires(x: Tensor, count: Tensor, temperature: float, network: Network, distribution: Distribution) -> Tensor:
    """What stands on the wires ``[..., n]`` before each layer and after the last, ``[layers + 1, ..., n]``.

    A comparator of a above b gives ``F a + (1 - F) b`` above and ``(1 - F) a + F b`` below, with F that of ``(a - b) /
    temperature``.

    Args:
        x: values, the real ones first.
        count: how many are real, ``[..., 1]``.
        temperature: it divides differences.
        network: ``"bitonic"`` or ``"odd_even"``.
        distribution: F.
    """
    partner, least = wiring(network, x.shape[-1], x.device)
    found = [x]
    for layer in range(len(partner)):
        own, other = found[-1], found[-1][..., partner[layer]]
        share = shares(own, other, partner[layer], least[layer], count, temperature, distribution)
        found.append(torch.lerp(other, own, share))
    return torch.stack(found)


def push(share: Tensor, values: Tensor, partner: Tensor, reverse: bool) -> Tensor:
    """``values [..., n, d]`` through a network whose comparators keep ``share [layers, ..., n]``, or backwards."""
    layers = range(len(partner))
    for layer in reversed(layers) if reverse else layers:
        values = torch.lerp(values[..., partner[layer], :], values, share[layer].unsqueeze(-1))
    return values


def shares(
    own: Tensor,
    other: Tensor,
    partner: Tensor,
    least: Tensor,
    count: Tensor,
    temperature: float,
    distribution: Distribution,
) -> Tensor:
    """How much of its own a wire keeps; all of it where no real item, or no comparator, is opposite."""
    places = torch.arange(own.shape[-1], device=own.device)
    compared = (partner != places) & (torch.maximum(partner, places) < count) & (least < count)
    apart = torch.where(partner > places, own - other, other - own)
    # What is not compared is not looked at, so that its derivative stays finite.
    apart = torch.where(compared, apart, 0.0) / temperature
    return torch.where(compared, cumulative(apart, distribution), 1.0)
