"""Numbers that tell the rows of a batch apart, the same in every process."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.data.collate import TextTokens


def mixed(values: Tensor) -> Tensor:
    """Bits of int64 stirred so that sums of them tell apart (the finalizer of splitmix64)."""
    values = (values ^ (values >> 30)) * -4658895280553007687
    values = (values ^ (values >> 27)) * -7723592293110705685
    return values ^ (values >> 31)


def patches_as_tokens(pixel_values: Tensor, patches: int) -> TextTokens:
    """Images as rows of ``patches`` tokens: equal where the pixels are, and all of them scored.

    Example:
        >>> pixels = torch.tensor([0.5, 0.25, 0.5]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
        >>> first, second, third = patches_as_tokens(pixels, 4).input_ids
        >>> bool((first == third).all()), bool((first == second).any()), len(first)
        (True, False, 4)
    """
    bits = pixel_values.detach().float().flatten(1).view(torch.int32).long()
    places = torch.arange(bits.shape[1], device=bits.device)
    numbers = mixed(bits * 0x1_0000_0001 + places + 1).sum(dim=1, keepdim=True).expand(-1, patches)
    ones = torch.ones_like(numbers)
    return TextTokens(numbers, ones, torch.zeros_like(numbers), ones.bool())
