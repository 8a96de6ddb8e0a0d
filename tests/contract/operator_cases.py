"""The rows of ranking, sorting and masked operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from contract_case import Case
from torch import Tensor

from rankgrad import ops


def op(function: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    return lambda x, labels, mask: function(x, mask=mask, **options)


def discounted_sort(x: Tensor, _labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """The sorted values as one number a list, which padding does not lengthen."""
    places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device)
    return (ops.soft_sort(x, mask=mask, **options) / (places + 1)).sum(dim=-1)


def sort_case(name: str, **options: Any) -> Case:
    return Case(name, ops.soft_sort, partial(discounted_sort, **options), float64=not name.endswith("triton"))


def isotonic_case(name: str, **options: Any) -> Case:
    def call(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
        # Blocks of uneven weights never meet by chance, where the result would have no derivative.
        places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device)
        return ops.isotonic_regression(x, (2 + places.sin()).expand_as(x), mask=mask, **options)

    float64 = not name.endswith("triton")
    return Case(name, ops.isotonic_regression, call, per_item=True, float64=float64, ordered=True)


def item_case(name: str, function: Callable[..., Tensor], **options: Any) -> Case:
    float64, differentiable = not name.endswith("triton"), function is not ops.hard_rank
    call = op(function, **options)
    return Case(name, function, call, per_item=True, differentiable=differentiable, float64=float64)


CASES = [
    item_case("hard_rank", ops.hard_rank),
    item_case("hard_rank-ascending", ops.hard_rank, descending=False),
    item_case("soft_rank", ops.soft_rank, temperature=0.5),
    item_case("soft_rank-ascending", ops.soft_rank, temperature=0.5, descending=False),
    item_case("soft_rank-reference", ops.soft_rank, temperature=0.5, backend="reference"),
    item_case("soft_rank-triton", ops.soft_rank, temperature=0.5, backend="triton"),
    item_case("soft_rank-relative", ops.soft_rank, temperature=0.5, relative=True),
    item_case("soft_rank-isotonic", ops.soft_rank, temperature=0.43, method="isotonic"),
    item_case("soft_rank-isotonic-kl", ops.soft_rank, temperature=0.43, method="isotonic", regularization="kl"),
    sort_case("soft_sort", temperature=0.7),
    sort_case("soft_sort-kl-ascending", temperature=0.7, regularization="kl", descending=False),
    sort_case("soft_sort-relative", temperature=0.7, relative=True),
    sort_case("soft_sort-reference", temperature=0.7, backend="reference"),
    sort_case("soft_sort-triton", temperature=0.7, backend="triton"),
    isotonic_case("isotonic_regression"),
    isotonic_case("isotonic_regression-kl-decreasing", regularization="kl", increasing=False),
    isotonic_case("isotonic_regression-reference", backend="reference"),
    isotonic_case("isotonic_regression-triton", backend="triton"),
    item_case("masked_softmax", ops.masked_softmax),
    item_case("masked_log_softmax", ops.masked_log_softmax),
    Case("masked_logsumexp", ops.masked_logsumexp, op(ops.masked_logsumexp), all_masked=float("-inf")),
    Case("masked_mean", ops.masked_mean, op(ops.masked_mean)),
    Case("safe_reduce", ops.safe_reduce, lambda x, labels, mask: ops.safe_reduce(x, mask, "none"), per_item=True),
]
