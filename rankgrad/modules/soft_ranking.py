"""Differentiable ranks as a module."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.ops import soft_rank
from rankgrad.ops._dispatch import Backend
from rankgrad.ops.isotonic.problem import Regularization
from rankgrad.ops.soft_rank import RankMethod, check_options


class SoftRank(nn.Module):
    """:func:`rankgrad.ops.soft_rank` with its options held: a ranker for metrics and
    :class:`rankgrad.losses.MetricLoss`.

    Example:
        >>> import torch
        >>> SoftRank(temperature=0.1)(torch.tensor([3.0, 1.0, 1.0]))
        tensor([1.0000, 2.5000, 2.5000])
    """

    def __init__(
        self,
        *,
        temperature: float,
        method: RankMethod = "sigmoid",
        regularization: Regularization | None = None,
        relative: bool = False,
        descending: bool = True,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        check_options(temperature, method, regularization)
        self.rank = partial(
            soft_rank,
            temperature=temperature,
            method=method,
            regularization=regularization,
            relative=relative,
            descending=descending,
            backend=backend,
        )

    def forward(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
        return self.rank(x, mask=mask)
