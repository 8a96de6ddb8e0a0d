"""The rows of ranking, sorting and masked operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    kernels, ordered = name.endswith("triton"), "network" in name
    return Case(name, ops.soft_sort, partial(discounted_sort, **options), float64=not kernels, ordered=ordered)


def isotonic_case(name: str, **options: Any) -> Case:
    def call(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
        # Blocks of uneven weights never meet by chance, where the result would have no derivative.
        places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device)
        return ops.isotonic_regression(x, (2 + places.sin()).expand_as(x), mask=mask, **options)

    float64 = not name.endswith("triton")
    return Case(name, ops.isotonic_regression, call, per_item=True, float64=float64, ordered=True)


def permuted(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """Labels in soft order as one number a list."""
    places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device)
    return (ops.soft_permute(x, labels.to(x.dtype), mask=mask, **options) / (places + 1)).sum(dim=-1)


def expected_discount(x: Tensor, _labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """For each item the mean discount of its places, by the matrix."""
    places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device)
    return (ops.soft_permutation(x, mask=mask, **options) / (places + 1).unsqueeze(-1)).sum(dim=-2)


def scaled_discount(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    """The same of the matrix that scaling makes of given logarithms."""
    places = torch.arange(x.shape[-1], dtype=torch.float32, device=x.device).unsqueeze(-1)
    # Powers of two, so that 16 bits hold the products.
    logits = x.unsqueeze(-2) * (2.0**-places).to(x.dtype)
    return (ops.doubly_stochastic(logits, mask, iterations=4) / (places + 1)).sum(dim=-2)


def summed_segments(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    ends = mask.sum(dim=-1).cumsum(dim=0).to(torch.int32)
    return ops.segment_sum(x[mask], torch.cat([torch.zeros_like(ends[:1]), ends])).sum(dim=-1)


def item_case(name: str, function: Callable[..., Tensor], *, derivative: bool = True, **options: Any) -> Case:
    return Case(
        name,
        function,
        op(function, **options),
        per_item=True,
        differentiable=function is not ops.hard_rank,
        derivative=derivative,
        float64=not name.endswith("triton"),
        ordered="network" in name,
    )


def method_cases(method: str, **options: Any) -> list[Case]:
    """The rows of a method that has kernels."""
    rank = {"temperature": 0.5, "method": method, **options}
    return [
        item_case(f"soft_rank-{method}", ops.soft_rank, **rank),
        item_case(f"soft_rank-{method}-reference", ops.soft_rank, backend="reference", **rank),
        item_case(f"soft_rank-{method}-triton", ops.soft_rank, backend="triton", **rank),
        sort_case(f"soft_sort-{method}-ascending", descending=False, **rank),
    ]


def permutation_cases(method: str, **options: Any) -> list[Case]:
    options = {"temperature": 0.5, "method": method, **options}
    ordered = method == "network"
    return [
        Case(f"soft_permute-{method}", ops.soft_permute, partial(permuted, **options), ordered=ordered),
        Case(
            f"soft_permutation-{method}",
            ops.soft_permutation,
            partial(expected_discount, relative=True, **options),
            per_item=True,
            ordered=ordered,
        ),
    ]


def top_k_case(name: str, **options: Any) -> Case:
    return replace(item_case(name, partial(ops.soft_top_k, k=2, temperature=0.7), **options), covers=ops.soft_top_k)


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
    item_case("hard_rank-average", ops.hard_rank, ties="average"),
    item_case("soft_rank-blackbox", ops.soft_rank, temperature=0.5, method="blackbox", derivative=False),
    item_case("soft_rank-straight-through", ops.soft_rank, temperature=0.5, straight_through=True, derivative=False),
    *method_cases("laplace"),
    *method_cases("softsort"),
    *method_cases("neuralsort"),
    *method_cases("sinkhorn", iterations=2),
    *method_cases("network"),
    *permutation_cases("softsort"),
    *permutation_cases("neuralsort"),
    *permutation_cases("sinkhorn", iterations=2),
    *permutation_cases("network", network="odd_even", distribution="logistic"),
    top_k_case("soft_top_k"),
    top_k_case("soft_top_k-reference", backend="reference"),
    top_k_case("soft_top_k-triton", backend="triton"),
    top_k_case("soft_top_k-isotonic-lowest", method="isotonic", largest=False),
    top_k_case("soft_top_k-p_norm", method="p_norm"),
    top_k_case("soft_top_k-neuralsort", method="neuralsort"),
    top_k_case("soft_top_k-straight-through", straight_through=True, derivative=False),
    Case("doubly_stochastic", ops.doubly_stochastic, scaled_discount, per_item=True),
    item_case("sparsemax", ops.sparsemax),
    item_case("entmax15", ops.entmax15),
    replace(item_case("reverse_logcumsumexp", ops.reverse_logcumsumexp), ordered=True),
    replace(item_case("reverse_logcumsumexp-triton", ops.reverse_logcumsumexp, backend="triton"), ordered=True),
    Case("segment_sum", ops.segment_sum, summed_segments, vectors=True, static=False),
    item_case("masked_softmax", ops.masked_softmax),
    item_case("masked_log_softmax", ops.masked_log_softmax),
    Case("masked_logsumexp", ops.masked_logsumexp, op(ops.masked_logsumexp), all_masked=float("-inf")),
    Case("masked_mean", ops.masked_mean, op(ops.masked_mean)),
    Case("safe_reduce", ops.safe_reduce, lambda x, labels, mask: ops.safe_reduce(x, mask, "none"), per_item=True),
]
