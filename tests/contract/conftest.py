"""The table of operators, losses and metrics that answer the contract's questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad import losses, metrics, ops

DIM = 4
soft = partial(ops.soft_rank, temperature=0.7)


@dataclass(frozen=True)
class Case:
    """``call(x, labels, mask, **options)`` gives a value an item or a list; items are on axis -1, vectors on -2."""

    name: str
    covers: Callable[..., Any]
    call: Callable[..., Tensor]
    per_item: bool = False
    vectors: bool = False
    differentiable: bool = True
    reduces: bool = False
    static: bool = True
    all_masked: float = 0.0
    float64: bool = True
    ordered: bool = False

    @property
    def item_axis(self) -> int:
        return -2 if self.vectors else -1

    def inputs(self, *batch: int, items: int = 7, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
        """x (distinct, exact in 16 bits), labels and a mask; every list has a positive and three real items."""
        generator = torch.Generator().manual_seed(seed)
        batch = (6,) if self.vectors else batch or (6,)
        places = torch.rand(*batch, items, generator=generator).argsort(dim=-1) - 1
        x = places * places.abs() / 8
        if self.vectors:
            x = x.unsqueeze(-1) + torch.randint(-9, 9, (*batch, items, DIM), generator=generator) / 16
        labels = torch.randint(0, 4, (*batch, items), generator=generator)
        mask = torch.rand(*batch, items, generator=generator) < 0.7
        labels[..., 1], labels[..., 2], mask[..., :3] = 2, 0, True
        return [x.to(dtype), labels, mask]


def queries(count: int, x: Tensor) -> Tensor:
    values = torch.arange(count * 3 * DIM, dtype=torch.float32, device=x.device).sin()
    return ((values * 4).round() / 4).view(count, 3, DIM).to(x.dtype)


def pairs(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any = "auto", **options: Any) -> Tensor:
    return ops.maxsim(queries(x.shape[0], x), x, None, mask, layout="pairs", backend=backend, **options)


def all_pairs(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(2, x), x, None, mask, reduction="mean")[1]


def candidates(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(1, x), x[None], None, mask[None], layout="candidates")[0]


def packed(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any = "auto", **options: Any) -> Tensor:
    ends = mask.sum(dim=-1).cumsum(dim=0).to(torch.int32)
    offsets = torch.cat([torch.zeros_like(ends[:1]), ends])
    return ops.maxsim(queries(1, x), x[mask], document_cu_seqlens=offsets, backend=backend, **options)[0]


def quantised(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any) -> Tensor:
    """The inputs are multiples of 1/16, so int8 holds them exactly; a scale carries what is no number."""
    codes = (x * 16).nan_to_num(0.0, 0.0, 0.0).clamp(-127, 127).to(torch.int8)
    tokens = ops.Int8Tokens(pad(codes, (0, 8 - DIM)), (x * 0).sum(dim=-1).float() + 1 / 16)
    asked = pad(queries(x.shape[0], x), (0, 8 - DIM))
    return ops.maxsim_quantised(asked, tokens, None, mask, layout="pairs", backend=backend)


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


def maxsim_case(name: str, call: Callable[..., Tensor], **options: Any) -> Case:
    # Kernels accumulate in float32, so their gradients are compared with the reference's instead.
    float64 = not name.endswith("triton")
    return Case(name, ops.maxsim, call, vectors=True, all_masked=float("-inf"), float64=float64, **options)


def quantised_case(backend: str) -> Case:
    call = partial(quantised, backend=backend)
    return replace(maxsim_case(f"maxsim_quantised-{backend}", call), covers=ops.maxsim_quantised, differentiable=False)


def metric_cases(function: Callable[..., Tensor], **options: Any) -> list[Case]:
    name = function.__name__
    smooth = partial(function, ranker=soft, cut_temperature=0.5, **options)
    return [
        Case(name, function, partial(function, **options), differentiable=False),
        Case(f"{name}-soft", function, partial(function, ranker=soft, **options)),
        *([Case(f"{name}-smooth-cut", function, smooth)] if options.get("k") else []),
    ]


def loss_case(function: Callable[..., Tensor], **options: Any) -> Case:
    return Case(function.__name__, function, partial(function, **{"reduction": "none", **options}), reduces=True)


MAXIMA: dict[str, dict[str, Any]] = {
    f"{name}{backend}": {"backend": backend[1:] or "auto", **options}
    for backend in ("", "-reference", "-triton")
    for name, options in {"": {}, "-soft": {"temperature": 0.5}, "-top_k": {"top_k": 2}}.items()
}
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
    *(maxsim_case(f"maxsim-pairs{name}", partial(pairs, **options)) for name, options in MAXIMA.items()),
    maxsim_case("maxsim-all-pairs", all_pairs),
    maxsim_case("maxsim-candidates", candidates),
    *(
        maxsim_case(f"maxsim-packed{name}", partial(packed, **options), static=False)
        for name, options in MAXIMA.items()
    ),
    *map(quantised_case, ("auto", "reference", "triton")),
    *metric_cases(metrics.ndcg, k=3),
    *metric_cases(metrics.reciprocal_rank),
    *metric_cases(metrics.average_precision),
    *metric_cases(metrics.recall, k=3),
    *metric_cases(metrics.precision, k=3),
    loss_case(losses.softmax_loss, temperature=0.5),
    loss_case(losses.info_nce_loss, temperature=0.5),
    loss_case(losses.margin_mse_loss),
    loss_case(losses.kl_distill_loss, temperature=2.0),
    loss_case(losses.metric_loss, metric=metrics.reciprocal_rank, ranker=soft),
    loss_case(losses.approx_ndcg_loss, temperature=0.7, k=3),
]
SELECTIONS: dict[str, Callable[[Case], bool]] = {
    "case": lambda case: True,
    "unordered": lambda case: not case.ordered,
    "differentiable": lambda case: case.differentiable,
    "reducing": lambda case: case.reduces,
    "list_case": lambda case: not case.vectors,
    "static": lambda case: case.static,
    "double": lambda case: case.differentiable and case.float64,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture, selected in SELECTIONS.items():
        if fixture in metafunc.fixturenames:
            rows = [case for case in CASES if selected(case)]
            metafunc.parametrize(fixture, rows, ids=[case.name for case in rows])


@pytest.fixture
def covered() -> set[Callable[..., Any]]:
    """The functions with a row in the table."""
    return {case.covers for case in CASES}
