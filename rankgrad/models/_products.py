"""Dot products that keep float32 where a model runs in less."""

from __future__ import annotations

import torch
from torch import Tensor


def products(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right^T`` in float32, under autocast too: eight bits of a score would make ties.

    Example:
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     products(torch.tensor([[1.0, 2.0**-9]]), torch.ones(1, 2)).item() == 1 + 2.0**-9
        True
    """
    with torch.autocast(left.device.type, enabled=False):
        return left.float() @ right.float().T
