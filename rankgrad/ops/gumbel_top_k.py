"""Relaxed sampling of k items without replacement."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._bounded import bounded
from rankgrad.ops._noise import draw_seed, gumbel_noise
from rankgrad.ops.p_norm_top_k import check_k, chosen

# A temperature below makes a choice hard to all of float32's digits; logits beyond are all the same to it.
_LEAST, _LARGEST = 1e-12, 1e30


def weights(
    x: Tensor,
    mask: Tensor | None,
    k: int,
    temperature: float,
    *,
    generator: torch.Generator | None = None,
    samples: int = 1,
) -> Tensor:
    """Weights in [0, 1] that sum to k, of k items drawn without replacement in proportion to ``exp(x)``, relaxed.

    Gumbel noise is added to ``x``, whose k highest are then such a sample. They are taken softly one by one: the j-th
    by ``p_j = softmax(a_j / temperature)``, after which ``a_{j+1} = a_j + log(1 - p_j)``. The weights are the sum of
    the p_j; where that exceeds 1 for an item, as it can where two lie close, they are ``min(1, c sum_j p_j)`` with the
    c at which they sum to k. All is computed with logarithms. ``docs/ops/top_k.md`` says more.

    Towards temperature 0 the weights of a sample become 0 and 1, and their mean over many samples the probabilities of
    being drawn; they never are those of the hard top-k of ``x``, to which ``c x`` tends as c grows. The gradient is
    exact for the noise drawn, biased for those probabilities, and vanishes where, in a sample, the k highest exceed the
    others by many temperatures. Time and memory are O(samples k n).

    Args:
        x: logarithms of weights, up to a constant. Infinite ones lie beyond all finite ones and take no gradient.
        mask: True = a real item; masked items get weight 0 and zero gradient, and count for nobody.
        k: how many; from as many as a list's real items on, all of these get 1.
        temperature: softness of the choice, in the units of ``x``, of which the noise has about one; above 0.
        generator: where the noise comes from; None = torch's global one. ``torch.compile`` takes None only.
        samples: how many samples the weights are the mean of.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The weights; NaN at every real item of a list in which a real item is NaN.

    Raises:
        InputError: for k that is below 0 or no whole number.

    Reference:
        Xie, Ermon: Reparameterizable subset sampling via continuous relaxations, IJCAI 2019. Kool, van Hoof, Welling:
        Stochastic beams and where to find them: the Gumbel-top-k trick, ICML 2019.

    Example:
        >>> x = torch.tensor([9.0, -9.0, 0.0, 9.0])
        >>> weights(x, None, 2, 0.1, generator=torch.Generator().manual_seed(0)).round(decimals=3)
        tensor([1., 0., 0., 1.])
    """
    check_k(k)
    if k != int(k):
        raise InputError(f"k: expected a whole number, as items are drawn one by one, got {k}")
    lists = bounded(x, mask)
    if not x.shape[-1] or k == 0 or k >= x.shape[-1]:
        return chosen(lists.values * 0.0, lists, k)
    # Of a list that is taken whole something must be computed, though nothing of it is kept.
    whole = lists.real.sum(dim=-1, keepdim=True) <= k
    real, values = lists.real | whole, lists.values.masked_fill(whole, 0.0)
    noisy = values + gumbel_noise(draw_seed(generator), values.detach(), samples)
    temperature = max(temperature, _LEAST)
    logits = (noisy / temperature).clamp(-_LARGEST, _LARGEST).masked_fill(~real, float("-inf"))
    taken = []
    for step in range(int(k)):
        share = logits.log_softmax(dim=-1)
        taken.append(share.masked_fill(~real, 0.0))
        if step + 1 < k:
            logits = logits + _log_rest(logits, share) / temperature
    return chosen(_capped(torch.stack(taken).logsumexp(dim=0), real, int(k)).mean(dim=0), lists, k)


def _log_rest(logits: Tensor, share: Tensor) -> Tensor:
    """``log(1 - softmax(logits))``; only the highest can have more than half, and is what the others leave."""
    highest = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, logits.argmax(dim=-1, keepdim=True), True)
    others = logits.masked_fill(highest, float("-inf")).logsumexp(dim=-1, keepdim=True)
    left = others - logits.logsumexp(dim=-1, keepdim=True)
    return torch.where(highest, left, torch.log1p(-share.exp().masked_fill(highest, 0.0)))


def _capped(amounts: Tensor, real: Tensor, k: int) -> Tensor:
    """``min(1, c exp(amounts))`` with the c at which they sum to k."""
    amounts = amounts.masked_fill(~real, float("-inf"))
    ordered = amounts.detach().sort(dim=-1, descending=True).values
    rest = ordered.flip(-1).logcumsumexp(dim=-1).flip(-1)[..., :k]
    # With the m highest full, what is left of k would be shared by the rest; are they to get more than 1?
    left = torch.arange(k, 0, -1, device=amounts.device, dtype=amounts.dtype).log()
    fuller = ordered[..., :k] - rest + left > 0
    count = fuller.long().cumprod(dim=-1).sum(dim=-1, keepdim=True).clamp(max=k - 1)
    full = amounts.detach() - rest.gather(-1, count) + left.expand_as(rest).gather(-1, count) > 0
    left = (k - full.sum(dim=-1, keepdim=True)).to(amounts.dtype).log()
    others = amounts.masked_fill(full, float("-inf")).logsumexp(dim=-1, keepdim=True)
    return (amounts - others + left).masked_fill(full, 0.0).exp().clamp(max=1.0)
