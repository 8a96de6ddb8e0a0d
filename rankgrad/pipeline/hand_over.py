"""What one stage of a cascade leaves to the next, softly."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulate, check_positive
from rankgrad.ops._spread import in_deviations

# Below this a chance is held: its logarithm is still finite, in float32 too.
LEAST_CHANCE = 1e-30
# Halvings of the range of thresholds; the Newton step behind them squares what error they leave.
_HALVINGS = 28
# A threshold beyond the last document by so many temperatures lets nothing, or all, pass.
_BEYOND = 90.0


def soft_hand_over(scores: Tensor, survival: Tensor, mask: Tensor, *, k: float | Tensor, temperature: float) -> Tensor:
    """The chance of each document to pass this stage too; the chances sum to k.

    ``survival_i F((z_i - b) / temperature)``, F being the distribution function of Laplace, z the scores in deviations
    of their list, and b the threshold at which the sum over the list is k: the soft top-k of
    ``soft_top_k(method="laplace", relative=True)``, in which a document counts for as much of itself as is here. With
    the temperature to 0 it is 1 for the k highest of those that are here, and 0 for the rest. Far below the cut it
    falls as ``exp(z / temperature)``, so that its logarithm has a gradient however far that is. Where no more than k
    are here, all pass.

    Args:
        scores: of this stage; higher is better.
        survival: the chance to be here; 0 where masked.
        mask: True = a real document.
        k: how many are handed on; a tensor receives a gradient.
        temperature: softness, in deviations of the scores; above 0.

    Shape:
        scores, survival, mask ``[..., documents]`` -> ``[..., documents]``, float32 (float64 for float64); k a number
        or of the leading axes.

    Raises:
        InputError: for a temperature not above 0.

    Reference:
        Without the chances: Struski et al.: LapSum, one method to differentiate them all, ICML 2025.

    Example:
        >>> real = torch.ones(3, dtype=torch.bool)
        >>> soft_hand_over(torch.tensor([3.0, 2.0, 1.0]), torch.ones(3), real, k=2, temperature=0.1).round(decimals=2)
        tensor([1., 1., 0.])
    """
    check_positive(temperature, "temperature")
    spread, _ = in_deviations(accumulate(scores, "scores"), mask)
    z = spread.masked_fill(~mask, 0.0) / temperature
    survival = survival.to(z.dtype)
    wanted = torch.as_tensor(k, dtype=z.dtype, device=z.device).expand(z.shape[:-1]).unsqueeze(-1)
    # A document more or less than k within rounding: all pass, without gradient, as nothing is to choose.
    choice = wanted < survival.detach().sum(dim=-1, keepdim=True) * (1 - 1e-6)
    passed = _laplace(z - _threshold(z, survival, wanted, mask))
    return survival * torch.where(choice, passed, 1.0)


def _laplace(x: Tensor) -> Tensor:
    """The distribution function; the branch not taken is kept from overflowing."""
    below = x.clamp(max=0.0).exp() / 2
    return torch.where(x < 0, below, 1 - (-x.clamp(min=0.0)).exp() / 2)


def _threshold(z: Tensor, survival: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """The threshold ``[..., 1]``, found by halving; one Newton step carries the gradients of all that it depends on."""
    with torch.no_grad():
        # What is infinite passes, or not, at any threshold; NaN stays, and reaches the whole list.
        counted = mask & ~z.isinf()
        low = z.masked_fill(~counted, float("inf")).amin(dim=-1, keepdim=True).clamp(max=1e30) - _BEYOND
        high = z.masked_fill(~counted, float("-inf")).amax(dim=-1, keepdim=True).clamp(min=-1e30) + _BEYOND
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            more = (survival * _laplace(z - middle)).sum(dim=-1, keepdim=True) > wanted
            low, high = torch.where(more, middle, low), torch.where(more, high, middle)
        found = (low + high) / 2
        slope = (survival * (-(z - found).abs()).exp() / 2).sum(dim=-1, keepdim=True)
        # Where nobody is near, the threshold may lie anywhere between two documents and moves with neither.
        step = torch.where(slope > 1e-12, 1 / slope.clamp(min=1e-12), 0.0)
    return found + step * ((survival * _laplace(z - found)).sum(dim=-1, keepdim=True) - wanted)
