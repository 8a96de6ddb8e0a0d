"""Networks on a CPU: wires on the first axis, so that a comparator's operands are whole rows of memory."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops.sorting_network.distributions import Distribution, cumulative, density
from rankgrad.ops.sorting_network.wiring import Network, wiring


def wires(
    x: Tensor, count: Tensor, temperature: float, network: Network, distribution: Distribution, keep: bool
) -> Tensor:
    """What stands on the wires of ``[lists, n]`` before each layer and after the last; without ``keep`` only the last.

    Shape:
        ``[layers + 1, lists, n]``, lists closest together in memory.
    """
    partner, least = wiring(network, x.shape[1], x.device)
    now = x.T.clone(memory_format=torch.contiguous_format)
    found = now.new_empty((len(partner) + 1, *now.shape)) if keep else None
    for layer in range(len(partner)):
        if found is not None:
            found[layer] = now
        other = now.index_select(0, partner[layer])
        share, compared = _differences(now, other, partner[layer], least[layer], count, temperature)
        now = torch.lerp(other, now, cumulative(share, distribution).masked_fill_(~compared, 1.0))
    if found is None:
        return now.unsqueeze(0).mT
    found[-1] = now
    return found.mT


def wires_backward(
    gradients: Tensor, found: Tensor, count: Tensor, temperature: float, network: Network, distribution: Distribution
) -> Tensor:
    """The gradient of the values, from those of all wires."""
    partner, least = wiring(network, found.shape[2], found.device)
    found, gradients = found.mT, gradients.mT
    total = gradients[-1].clone(memory_format=torch.contiguous_format)
    for layer in reversed(range(len(partner))):
        now = found[layer]
        other = now.index_select(0, partner[layer])
        theirs = total.index_select(0, partner[layer])
        apart, compared = _differences(now, other, partner[layer], least[layer], count, temperature)
        share = cumulative(apart, distribution).masked_fill_(~compared, 1.0)
        pull = density(apart, distribution).div_(temperature).mul_(now - other).mul_(total - theirs)
        pull.masked_fill_(~compared, 0.0)
        upper = (partner[layer] > torch.arange(len(now), device=now.device)).unsqueeze(1)
        total = torch.lerp(theirs, total, share).add_(torch.where(upper, pull, -pull)).add_(gradients[layer])
    return total.T.contiguous()


def push(share: Tensor, values: Tensor, network: Network, reverse: bool) -> Tensor:
    """``values [lists, n, d]`` through comparators that keep ``share [layers, lists, n]``, or backwards."""
    partner, _ = wiring(network, values.shape[1], values.device)
    now = values.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    layers = range(len(partner))
    for layer in reversed(layers) if reverse else layers:
        now = torch.lerp(now.index_select(0, partner[layer]), now, share[layer].mT.unsqueeze(-1))
    return now.transpose(0, 1).contiguous()


def push_backward(
    gradient: Tensor, share: Tensor, values: Tensor, network: Network, reverse: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of the shares and of the values; what stood on the wires is made again."""
    partner, _ = wiring(network, values.shape[1], values.device)
    now = values.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    layers = list(range(len(partner)))
    if reverse:
        layers.reverse()
    stood = now.new_empty((len(layers), *now.shape))
    for layer in layers:
        stood[layer] = now
        now = torch.lerp(now.index_select(0, partner[layer]), now, share[layer].mT.unsqueeze(-1))
    total = gradient.transpose(0, 1).clone(memory_format=torch.contiguous_format)
    of_share = torch.empty_like(share, memory_format=torch.contiguous_format)
    for layer in reversed(layers):
        now = stood[layer]
        of_share[layer] = ((now - now.index_select(0, partner[layer])) * total).sum(dim=-1).T
        kept = share[layer].mT.unsqueeze(-1)
        # What a wire does not keep of its own goes to its partner.
        total = total * kept + (total * (1 - kept)).index_select(0, partner[layer])
    return of_share, total.transpose(0, 1).contiguous()


def _differences(
    own: Tensor, other: Tensor, partner: Tensor, least: Tensor, count: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """How many temperatures the upper wire is above the lower one, ``[n, lists]``; and where they are compared."""
    places = torch.arange(len(own), device=own.device)
    needed = torch.maximum(torch.maximum(partner, places), least)
    needed = torch.where(partner != places, needed, torch.iinfo(count.dtype).max)
    compared = needed.unsqueeze(1) < count
    sign = torch.where(partner > places, 1.0 / temperature, -1.0 / temperature).to(own.dtype)
    return (own - other).mul_(sign.unsqueeze(1)).masked_fill_(~compared, 0.0), compared
