"""Policy gradient of Plackett-Luce rankings."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._gains import check_cut, discounts, gains_of, normalised
from rankgrad.losses._lists import bounded, prepare, reduce_lists
from rankgrad.metrics.conventions import Gain
from rankgrad.ops._noise import draw_seed, gumbel_noise
from rankgrad.ops.masked import Reduction
from rankgrad.ops.scans import reverse_logcumsumexp


def plackett_luce_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    noise: Tensor,
    k: int | None = None,
    gain: Gain = "exp2",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus the mean nDCG of sampled rankings, with PL-Rank-3's estimate of its expectation's gradient.

    Rankings are drawn from the Plackett-Luce model of the scores: in the order of ``s + noise``. The gradient is not
    that of the value, which changes in steps: an item at place r of a sample receives
    ``C_{r+1} + sum_{x <= min(r, k)} e^{s_i} / Z_x (w_x G_i - C_x)`` for minus the loss, with ``w_x = 1 / log2(1 + x)``,
    gains G over their ideal DCG, the discounted gain ``C_x`` from place x on and ``Z_x = sum_{y >= x} e^{s}`` of the
    items there. It is unbiased. O(n log n) a sample. Lists without a positive gain do not count.

    Args:
        scores: logarithms of the model's weights.
        labels: graded relevance.
        mask: True = a real item.
        noise: standard Gumbel noise, one draw a sample.
        k: cut-off; None = the whole list.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
        weights: of items, each times its item's gain, in the ideal order too, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, noise ``[samples, ..., items]``, weights ``[..., items]`` or ``[...]`` ->
        ``[]``, or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Oosterhuis: Learning-to-rank at the speed of sampling: Plackett-Luce gradient estimation with minimal
        computational complexity, SIGIR 2022.

    Example:
        >>> noise = torch.tensor([[0.0, 0.0, 1.5]])
        >>> plackett_luce_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]), noise=noise)
        tensor(0.4131)
    """
    check_cut(k)
    lists = prepare(scores, labels, mask, weights)
    if noise.shape[1:] != lists.scores.shape or not len(noise):
        raise InputError(f"noise: expected shape {['samples', *lists.scores.shape]}, got {list(noise.shape)}")
    gains = normalised(lists.weighted(gains_of(lists, gain)), k)
    values = bounded(lists.scores)
    found, pull = _sampled(values.detach(), gains, lists.mask, noise.to(values.dtype), k)
    # Adds 0 to the value and minus the pull to the gradient.
    losses = 1 - found - ((values - values.detach()) * pull).sum(dim=-1)
    return reduce_lists(losses, (gains > 0).any(dim=-1), lists, reduction)


def _sampled(values: Tensor, gains: Tensor, mask: Tensor, noise: Tensor, k: int | None) -> tuple[Tensor, Tensor]:
    """(mean nDCG ``[...]``; the gradient of its expectation ``[..., items]``)."""
    order = (values + noise).masked_fill(~mask, float("-inf")).argsort(dim=-1, descending=True, stable=True)
    scores, gains, real = (x.expand_as(noise).gather(-1, order) for x in (values, gains, mask))
    weight = discounts(scores.shape[-1], scores)
    if k is not None:
        weight[k:] = 0.0
    gained = weight * gains
    rest = gained.flip(-1).cumsum(dim=-1).flip(-1)
    left = reverse_logcumsumexp(scores, mask=real)
    # In logarithms: the score of an item is never above that of all that are left, so no quotient overflows.
    chances = (scores + (weight.log() - left).logcumsumexp(dim=-1)).exp()
    missed = (scores + (rest.log() - left).logcumsumexp(dim=-1)).exp()
    pulls = (rest - gained + chances * gains - missed).masked_fill(~real, 0.0)
    return gained.sum(dim=-1).mean(dim=0), torch.zeros_like(pulls).scatter(-1, order, pulls).mean(dim=0)


class PlackettLuceLoss(nn.Module):
    """:func:`plackett_luce_loss` of fresh rankings each time, with its options held.

    Example:
        >>> loss = PlackettLuceLoss(samples=4)
        >>> generator = torch.Generator().manual_seed(0)
        >>> loss(torch.tensor([9.0, 0.0]), torch.tensor([1, 0]), generator=generator)
        tensor(0.)
    """

    def __init__(
        self, *, samples: int = 16, k: int | None = None, gain: Gain = "exp2", reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        if samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples}")
        check_cut(k)
        self.samples = samples
        self.loss = partial(plackett_luce_loss, k=k, gain=gain, reduction=reduction)

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        weights: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        noise = gumbel_noise(draw_seed(generator), scores.detach().float(), self.samples)
        return self.loss(scores, labels, mask, noise=noise, weights=weights)
