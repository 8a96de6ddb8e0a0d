"""Ranks and sorted values of noisy lists, averaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._bounded import BoundedLists, bound, bounded, marked
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops._noise import Noise, draw, draw_seed, seeded
from rankgrad.ops._order import stable_order
from rankgrad.ops.isotonic.problem import as_lists
from rankgrad.ops.ranking import mean_ranks

# Beyond these the temperature or its inverse would leave float32.
_LEAST, _MOST = 1e-37, 1e37
# Samples are looked at together as long as they hold no more numbers than this.
_NUMBERS = 1 << 17


@torch.library.custom_op("rankgrad::perturbed", mutates_args=())
def perturbed_op(
    values: Tensor, mask: Tensor, seed: Tensor, temperature: float, samples: int, gumbel: bool, ranks: bool
) -> Tensor:
    """Means over the samples of ``[lists, n]``: ranks, 0 where masked, or sorted values, 0 behind the real ones."""
    total = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    places = torch.arange(values.shape[-1], device=values.device)
    for noise, _ in _draws(values, seed, samples, gumbel):
        noisy = noise.mul(temperature).add_(values).masked_fill_(~mask, float("-inf"))
        order = stable_order(noisy, descending=True)
        found = noisy.gather(-1, order)
        if ranks:
            # Noise below the rounding of the values leaves equal ones equal.
            before = places.expand_as(order)
            found = torch.empty_like(noisy).scatter_(-1, order, mean_ranks(found, before, before + 1))
        total += found.sum(dim=0)
    return total.masked_fill_(~(mask if ranks else _places(mask)), 0.0).div_(samples)


@perturbed_op.register_fake
def _(
    values: Tensor, mask: Tensor, seed: Tensor, temperature: float, samples: int, gumbel: bool, ranks: bool
) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


@torch.library.custom_op("rankgrad::perturbed_backward", mutates_args=())
def perturbed_backward_op(
    gradient: Tensor,
    values: Tensor,
    mask: Tensor,
    seed: Tensor,
    temperature: float,
    samples: int,
    gumbel: bool,
    ranks: bool,
) -> Tensor:
    """The gradient of the values: from the scores of the noise for ranks, along each sample's order for sorting."""
    draws = _draws(values, seed, samples, gumbel)
    if ranks:
        return _score_gradient(gradient.masked_fill(~mask, 0.0), values, mask, draws, temperature)
    upstream = gradient.masked_fill(~_places(mask), 0.0)
    result = torch.zeros(values.shape, dtype=values.dtype, device=values.device)
    for noise, _ in draws:
        order = stable_order(noise.mul(temperature).add_(values).masked_fill_(~mask, float("-inf")), descending=True)
        result += torch.empty_like(noise).scatter_(-1, order, upstream.expand_as(order)).sum(dim=0)
    return result.div_(samples)


@perturbed_backward_op.register_fake
def _(gradient: Tensor, values: Tensor, *_rest: Any) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return perturbed_backward_op(gradient, *ctx.saved_tensors, *ctx.options), None, None, None, None, None, None


perturbed_op.register_autograd(_backward, setup_context=_setup)


def ranks(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    samples: int,
    generator: torch.Generator | None = None,
    noise: Noise = "gaussian",
    backend: Backend = "auto",
) -> Tensor:
    """The mean over samples of the hard ranks of ``x + temperature z``, rank 1 the highest.

    Its expectation is smooth: ``1 + sum_{j != i} F((x_j - x_i) / temperature)`` with F the distribution function of the
    difference of two noises, ``Phi(t / sqrt 2)`` for ``"gaussian"`` and ``sigmoid(t)`` for ``"gumbel"``. The gradient
    is an unbiased estimate of that of the expectation, from the noise of the forward pass: an item's noise scores
    (``z``, or ``1 - exp(-z)`` before ``z`` was centred) times its share of the loss, over the temperature. An item's
    share counts only pairs it is part of, and is taken from its mean; both lower the variance and change no
    expectation. It falls as one over ``samples``. ``docs/ops/perturbed.md`` derives it, with measured errors.

    The ranks are the hard ones where no sample exchanges two items: surely enough where the smallest gap exceeds 15
    times the temperature (``"gaussian"``) or 40 times (``"gumbel"``). There the gradient is 0; it falls as that of F.
    Time is O(samples n log n), memory O(n): noise is drawn again in the backward pass, not kept.

    Args:
        x: what is ranked. Infinite values rank beyond all finite ones and take no gradient.
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        temperature: the noise's scale, in the units of ``x``; above 0.
        samples: how many lists are averaged.
        generator: where the noise comes from; None = torch's global one. One state of it gives one result and one
            gradient. ``torch.compile`` takes None only.
        noise: ``"gaussian"`` or ``"gumbel"``.
        backend: ``"auto"`` or ``"reference"``, which are the same here.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for ``backend="triton"``.

    Reference:
        Berthet, Blondel, Teboul, Cuturi, Vert, Bach: Learning with differentiable perturbed optimizers, NeurIPS 2020.

    Example:
        >>> x = torch.tensor([3.0, 1.0, 1.0])
        >>> ranks(x, None, 0.05, samples=4, generator=torch.Generator().manual_seed(0))
        tensor([1.0000, 2.2500, 2.7500])
    """
    lists = _checked(x, mask, samples, backend, "soft_rank")
    return marked(_averaged(lists, temperature, samples, generator, noise, ranks=True), lists)


def sorted_values(
    x: Tensor,
    mask: Tensor | None,
    temperature: float,
    *,
    samples: int,
    generator: torch.Generator | None = None,
    noise: Noise = "gaussian",
    backend: Backend = "auto",
) -> Tensor:
    """The mean over samples of ``x + temperature z`` sorted, highest first.

    The noise z has mean 0, so that the sum is kept in expectation. The gradient is exact: in each sample a place passes
    its own to the value that holds it, so that over a list it sums to that of the result and never vanishes. The result
    is never exactly the sorted values; it differs from them by the mean of the noise that they hold, which falls as
    ``temperature / sqrt(samples)`` where neighbours lie far apart, and by a spread of the order of the temperature
    where they are equal.

    Args:
        x: what is sorted. Infinite values count as the largest finite ones that can be added up.
        mask: True = a real item; masked items sort to the end as 0.
        temperature: the noise's scale, in the units of ``x``; above 0.
        samples: how many lists are averaged.
        generator: where the noise comes from; None = torch's global one. ``torch.compile`` takes None only.
        noise: ``"gaussian"`` or ``"gumbel"``.
        backend: ``"auto"`` or ``"reference"``, which are the same here.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The sorted values; NaN at every real place of a list in which a real item is NaN.

    Raises:
        InputError: for ``backend="triton"``.

    Example:
        >>> x = torch.tensor([1.0, 3.0])
        >>> sorted_values(x, None, 1e-4, samples=4, generator=torch.Generator().manual_seed(0)).round(decimals=3)
        tensor([3., 1.])
    """
    lists = _checked(x, mask, samples, backend, "soft_sort")
    result = _averaged(lists, temperature, samples, generator, noise, ranks=False)
    return marked(result, lists._replace(real=_places(lists.real)))


def _checked(x: Tensor, mask: Tensor | None, samples: int, backend: Backend, op: str) -> BoundedLists:
    resolve_backend(backend, x.device, op=f'{op}(method="perturbed")')
    return bounded(x, mask, parts=samples)


def _averaged(
    lists: BoundedLists,
    temperature: float,
    samples: int,
    generator: torch.Generator | None,
    noise: Noise,
    *,
    ranks: bool,
) -> Tensor:
    values, mask = as_lists(lists.values), as_lists(lists.real)
    temperature = min(max(temperature, _LEAST), _MOST)
    options = (temperature, samples, noise == "gumbel", ranks)
    return perturbed_op(values, mask, draw_seed(generator), *options).view(lists.values.shape)


def _draws(values: Tensor, seed: Tensor, samples: int, gumbel: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Noise and its score ``[some, lists, n]``, the same in both passes."""
    generator = seeded(seed, values.device)
    step = max(1, _NUMBERS // max(1, values.numel()))
    for start in range(0, samples, step):
        some = min(step, samples - start)
        yield draw((some, *values.shape), values, "gumbel" if gumbel else "gaussian", generator)


def _score_gradient(
    upstream: Tensor, values: Tensor, mask: Tensor, draws: Iterator[tuple[Tensor, Tensor]], temperature: float
) -> Tensor:
    """The covariance over the samples of an item's share of the loss with its noise's score, over the temperature."""
    samples, products, shares, scores = 0, *torch.zeros((3, *values.shape), dtype=values.dtype, device=values.device)
    # Seen from the list without noise, shares that no sample changes are exactly 0, and so is the gradient.
    unmoved = _shares(values.unsqueeze(0), mask, upstream)
    for noise, score in draws:
        share = _shares(noise.mul(temperature).add_(values), mask, upstream).sub_(unmoved)
        samples += len(share)
        products += (share * score).sum(dim=0)
        shares += share.sum(dim=0)
        scores += score.sum(dim=0)
    if samples > 1:
        products -= shares * (scores / samples)
    result = products / (max(samples - 1, 1) * temperature)
    # A shift of what can move changes no rank, so the gradient's expectation has mean 0.
    moving = mask & (values.abs() < bound(values.dtype, samples))
    mean = result.masked_fill(~moving, 0.0).sum(dim=-1, keepdim=True) / moving.sum(dim=-1, keepdim=True).clamp(min=1)
    return (result - mean).masked_fill(~moving, 0.0)


def _shares(noisy: Tensor, mask: Tensor, upstream: Tensor) -> Tensor:
    """What of ``sum_i upstream_i rank_i`` an item has part in: its own rank, and a 1 in that of each item below it."""
    order = stable_order(noisy.masked_fill(~mask, float("-inf")), descending=True)
    along = upstream.expand_as(noisy).gather(-1, order)
    below = along.sum(dim=-1, keepdim=True) - _running_sum(along)
    ranks = torch.arange(1, along.shape[-1] + 1, device=along.device, dtype=along.dtype)
    return torch.empty_like(along).scatter_(-1, order, below.addcmul_(along, ranks))


def _running_sum(x: Tensor) -> Tensor:
    # CUDA scans a list that is alone in another way, whose rounding changes from run to run.
    return torch.cat([x, x]).cumsum(dim=-1)[:1] if x.numel() == x.shape[-1] else x.cumsum(dim=-1)


def _places(mask: Tensor) -> Tensor:
    """True at the first places of a list, as many as it has real items."""
    return torch.arange(mask.shape[-1], device=mask.device) < mask.sum(dim=-1, keepdim=True)
