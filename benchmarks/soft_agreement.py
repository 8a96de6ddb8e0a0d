"""How far a provider is from a method's definition: values at some places of some lists, and the gradients of these."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.parity import TOLERANCE, DisagreementError
from benchmarks.soft_definitions import Definition
from benchmarks.soft_providers import Provider

# A block that float32 cuts elsewhere changes the gradient of its items, not their values.
GRADIENT_TOLERANCE = 2e-2
_LISTS = 3
_PLACES = 32
_MOST_ELEMENTS = 1 << 22
# A gradient that vanishes is not compared with itself but with what it could be.
_LEAST_SHARE = 1e-2


class Exact(NamedTuple):
    """What is expected: places ``[p]``; of the first lists the values ``[lists, p]``, the upstream gradient there and
    the gradients ``[lists, items]``; in float64 on the CPU.
    """

    places: Tensor
    values: Tensor
    upstream: Tensor
    gradients: Tensor


class Found(NamedTuple):
    """Differences: of values relative to the largest (at least 1), of gradients in relative L2."""

    values: float
    gradients: float


def exact(definition: Definition, x: Tensor, temperature: float) -> Exact:
    """The definition at the first and last place and some between, and its gradient there."""
    count = x.shape[-1]
    generator = torch.Generator().manual_seed(0)
    wanted = min(count, _PLACES, max(4, _MOST_ELEMENTS // count))
    between = torch.randperm(count, generator=generator)[: max(wanted - 2, 0)]
    places = torch.cat([torch.tensor([0, count - 1]), between]).unique()
    lists = 1 if count > _MOST_ELEMENTS // 64 else min(_LISTS, x.shape[0])
    upstream = torch.randn(lists, len(places), generator=generator, dtype=torch.float64)
    values, gradients = [], []
    for row in range(lists):
        leaf = x[row].detach().cpu().double().requires_grad_()
        value = definition(leaf, places, temperature)
        gradients.append(torch.autograd.grad(value, leaf, upstream[row])[0])
        values.append(value.detach())
    return Exact(places, torch.stack(values), upstream, torch.stack(gradients))


def compare(provider: Provider, x: Tensor, temperature: float, wanted: Exact) -> Found:
    """Run a provider forward and backward on all lists."""
    leaf = x.detach().requires_grad_()
    values = provider.call(leaf, temperature)
    if values.shape != x.shape:
        raise DisagreementError(f"{provider.name}: results are {list(values.shape)}, not {list(x.shape)}")
    lists = len(wanted.values)
    upstream = torch.zeros_like(values)
    upstream[:lists, wanted.places.to(x.device)] = wanted.upstream.to(values)
    (gradient,) = torch.autograd.grad(values, leaf, upstream)
    values = values.detach()[:lists].cpu().double()[:, wanted.places]
    largest = max(1.0, float(wanted.values.abs().max()))
    least = _LEAST_SHARE * float(wanted.upstream.norm())
    apart = float((gradient[:lists].cpu().double() - wanted.gradients).norm())
    return Found(
        float((values - wanted.values).abs().max()) / largest, apart / max(float(wanted.gradients.norm()), least)
    )


def check(provider: Provider, found: Found) -> None:
    """Refuse a provider that disagrees.

    Raises:
        DisagreementError: naming the provider, what was found and what is allowed.
    """
    if not found.values <= TOLERANCE:
        raise DisagreementError(f"{provider.name}: values differ by {found.values:.2g}, allowed is {TOLERANCE:.2g}")
    if not found.gradients <= GRADIENT_TOLERANCE:
        raise DisagreementError(
            f"{provider.name}: gradients differ by {found.gradients:.2g}, allowed is {GRADIENT_TOLERANCE:.2g}"
        )
