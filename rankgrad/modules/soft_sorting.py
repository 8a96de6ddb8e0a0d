"""Differentiable sorting as a module."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from rankgrad.ops import soft_sort
from rankgrad.ops._arguments import check_positive
from rankgrad.ops._dispatch import Backend


class SoftSort(nn.Module):
    """:func:`rankgrad.ops.soft_sort` with its options held.

    Example:
        >>> import torch
        >>> SoftSort(temperature=1.0)(torch.tensor([2.0, 5.0, 3.0]))
        tensor([4.3333, 3.3333, 2.3333])
    """

    def __init__(
        self,
        *,
        temperature: float,
        method: Literal["isotonic"] = "isotonic",
        regularization: Literal["l2", "kl"] = "l2",
        descending: bool = True,
        relative: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.sort = partial(
            soft_sort,
            temperature=temperature,
            method=method,
            regularization=regularization,
            descending=descending,
            relative=relative,
            backend=backend,
        )

    def forward(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
        return self.sort(x, mask=mask)
