"""Noise that a backward pass can draw again."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

Noise: TypeAlias = Literal["gaussian", "gumbel"]
_EULER = 0.5772156649015329


def draw_seed(generator: torch.Generator | None) -> Tensor:
    """A whole number from ``generator``, or from torch's global one: what an operator can be handed, unlike those.

    Example:
        >>> draw_seed(torch.Generator().manual_seed(1)) == draw_seed(torch.Generator().manual_seed(1))
        tensor(True)
    """
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(1 << 62, (), generator=generator, device=device)


def seeded(seed: Tensor, device: torch.device) -> torch.Generator:
    """A generator that begins at ``seed``."""
    return torch.Generator(device).manual_seed(int(seed))


def draw(shape: tuple[int, ...], like: Tensor, noise: Noise, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise of mean 0, and its score: the derivative of minus the logarithm of its density.

    Gaussian noise z is its own score. Gumbel noise is ``-log w - 0.5772...`` of a standard exponential w, with score
    ``1 - w``.

    Example:
        >>> draw((2, 3), torch.zeros(1), "gumbel", torch.Generator().manual_seed(0))[0].shape
        torch.Size([2, 3])
    """
    drawn = like.new_empty(shape)
    if noise == "gaussian":
        drawn.normal_(generator=generator)
        return drawn, drawn
    drawn.exponential_(generator=generator).clamp_(min=torch.finfo(drawn.dtype).tiny)
    return -drawn.log() - _EULER, 1 - drawn


@torch.library.custom_op("rankgrad::gumbel_noise", mutates_args=())
def gumbel_noise(seed: Tensor, like: Tensor, samples: int) -> Tensor:
    """Gumbel noise ``[samples, *like.shape]`` that ``seed`` determines."""
    return draw((samples, *like.shape), like, "gumbel", seeded(seed, like.device))[0]


@gumbel_noise.register_fake
def _(seed: Tensor, like: Tensor, samples: int) -> Tensor:
    return like.new_empty((samples, *like.shape))
