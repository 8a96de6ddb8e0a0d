"""Differentiable ranks, sorting and selection as modules."""

from __future__ import annotations

from functools import partial
from typing import Unpack, get_args

from torch import Tensor, nn

from rankgrad.ops import soft_rank, soft_sort, soft_top_k
from rankgrad.ops._dispatch import Backend
from rankgrad.ops.soft_methods import MethodOptions, RankMethod, SortMethod, TopKMethod, check_method


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
        relative: bool = False,
        descending: bool = True,
        straight_through: bool = False,
        backend: Backend = "auto",
        **options: Unpack[MethodOptions],
    ) -> None:
        super().__init__()
        check_method(method, get_args(RankMethod), temperature, options)
        self.rank = partial(
            soft_rank,
            temperature=temperature,
            method=method,
            relative=relative,
            descending=descending,
            straight_through=straight_through,
            backend=backend,
            **options,
        )

    def forward(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
        return self.rank(x, mask=mask)


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
        method: SortMethod = "isotonic",
        relative: bool = False,
        descending: bool = True,
        straight_through: bool = False,
        backend: Backend = "auto",
        **options: Unpack[MethodOptions],
    ) -> None:
        super().__init__()
        check_method(method, get_args(SortMethod), temperature, options)
        self.sort = partial(
            soft_sort,
            temperature=temperature,
            method=method,
            relative=relative,
            descending=descending,
            straight_through=straight_through,
            backend=backend,
            **options,
        )

    def forward(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
        return self.sort(x, mask=mask)


class SoftTopK(nn.Module):
    """:func:`rankgrad.ops.soft_top_k` with its options held.

    Example:
        >>> import torch
        >>> SoftTopK(2, temperature=0.1)(torch.tensor([0.3, 0.9, 0.1, 0.8])).round(decimals=2)
        tensor([0.0500, 0.9900, 0.0100, 0.9600])
    """

    def __init__(
        self,
        k: float,
        *,
        temperature: float,
        method: TopKMethod = "laplace",
        largest: bool = True,
        relative: bool = False,
        straight_through: bool = False,
        backend: Backend = "auto",
        **options: Unpack[MethodOptions],
    ) -> None:
        super().__init__()
        check_method(method, get_args(TopKMethod), temperature, options)
        self.select = partial(
            soft_top_k,
            k=k,
            temperature=temperature,
            method=method,
            largest=largest,
            relative=relative,
            straight_through=straight_through,
            backend=backend,
            **options,
        )

    def forward(self, x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
        return self.select(x, mask=mask)
