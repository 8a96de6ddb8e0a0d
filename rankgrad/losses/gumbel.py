"""Any loss of noisy scores."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_positive
from rankgrad.ops._noise import draw_seed, gumbel_noise


class Loss(Protocol):
    """A module of :mod:`rankgrad.losses`, or a function of it with its options bound."""

    def __call__(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, /, *, weights: Tensor | None = None
    ) -> Tensor: ...


class GumbelLoss(nn.Module):
    """The mean of a loss over samples of the scores with Gumbel noise: the loss of Plackett-Luce rankings.

    ``1/S sum_{s=1..S} loss(scores + scale g_s)``, the g being independent standard Gumbel noise less its mean: with
    scale 1 the noisy scores are in the order of a ranking drawn from the Plackett-Luce model. It smooths a loss whose
    gradient vanishes where an order is clear. The gradient is exact for the noise drawn. A sample is taken after
    another, so that memory does not grow with their number.

    Args:
        loss: a loss with its options, whose reduction stays.
        samples: how many draws the loss is the mean of.
        scale: of the noise, in the units of the scores.

    Reference:
        Bruch, Han, Bendersky, Najork: A stochastic treatment of learning to rank scoring functions, WSDM 2020.

    Example:
        >>> from rankgrad.losses import ApproxNDCG
        >>> loss = GumbelLoss(ApproxNDCG(), samples=4)
        >>> loss(torch.tensor([99.0, 0.0]), torch.tensor([1, 0]), generator=torch.Generator().manual_seed(0))
        tensor(0.)
    """

    # A configuration file can name a module's class, which the protocol alone does not say.
    def __init__(self, loss: nn.Module | Loss, *, samples: int = 8, scale: float = 1.0) -> None:
        super().__init__()
        if samples < 1:
            raise InputError(f"samples: expected at least 1, got {samples}")
        check_positive(scale, "scale")
        self.loss, self.samples, self.scale = loss, samples, scale

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        weights: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        wide = accumulate(scores, "scores")
        noise = self.scale * gumbel_noise(draw_seed(generator), wide.detach(), self.samples)
        values = [self.loss(wide + one, labels, mask, weights=weights) for one in noise.unbind()]
        return torch.stack(values).mean(dim=0)
