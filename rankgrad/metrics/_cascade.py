"""A user who reads from the top until satisfied."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.ops._arguments import check_positive
from rankgrad.ops._order import readable


def stop_probabilities(labels: Tensor, max_label: float) -> Tensor:
    """``(2^y - 1) / 2^max_label``; 0 for negative labels.

    Raises:
        InputError: on a CPU for a label above ``max_label``.

    Example:
        >>> stop_probabilities(torch.tensor([1.0, 2.0]), 2.0)
        tensor([0.2500, 0.7500])
    """
    check_positive(max_label, "max_label")
    # On a GPU the look would wait for it.
    if readable(labels) and labels.numel() and float(labels.max()) > max_label:
        raise InputError(f"labels: {float(labels.max()):g} is above max_label={max_label:g}: raise it to the highest")
    return (torch.exp2(labels.clamp(min=0.0)) - 1) / 2**max_label


def stops(chances: Tensor, *, dim: int) -> Tensor:
    """The chance that the user gets to each item and stops there, items being in order along ``dim``, -1 or -2.

    Example:
        >>> stops(torch.tensor([0.5, 0.5, 0.5]), dim=-1)
        tensor([0.5000, 0.2500, 0.1250])
    """
    going_on = (1 - chances).cumprod(dim=dim)
    ahead = (0, 0) * (-1 - dim) + (1, 0)
    return chances * pad(going_on, ahead, value=1.0).narrow(dim, 0, chances.shape[dim])
