"""The table of operators, losses and metrics that answer the contract's questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

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


def pairs(x: Tensor, _labels: Tensor, mask: Tensor, *, backend: Any = "auto") -> Tensor:
    return ops.maxsim(queries(x.shape[0], x), x, None, mask, layout="pairs", backend=backend)


def all_pairs(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(2, x), x, None, mask, reduction="mean")[1]


def candidates(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    return ops.maxsim(queries(1, x), x[None], None, mask[None], layout="candidates")[0]


def packed(x: Tensor, _labels: Tensor, mask: Tensor) -> Tensor:
    ends = mask.sum(dim=-1).cumsum(dim=0).to(torch.int32)
    return ops.maxsim_packed(queries(1, x), None, x[mask], torch.cat([torch.zeros_like(ends[:1]), ends]))[0]


def op(function: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
    return lambda x, labels, mask: function(x, mask=mask, **options)


def item_case(name: str, function: Callable[..., Tensor], **options: Any) -> Case:
    return Case(name, function, op(function, **options), per_item=True, differentiable=function is not ops.hard_rank)


def maxsim_case(name: str, call: Callable[..., Tensor], **options: Any) -> Case:
    return Case(name, ops.maxsim, call, vectors=True, all_masked=float("-inf"), **options)


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


CASES = [
    item_case("hard_rank", ops.hard_rank),
    item_case("hard_rank-ascending", ops.hard_rank, descending=False),
    item_case("soft_rank", ops.soft_rank, temperature=0.5),
    item_case("soft_rank-ascending", ops.soft_rank, temperature=0.5, descending=False),
    item_case("soft_rank-reference", ops.soft_rank, temperature=0.5, backend="reference"),
    item_case("masked_softmax", ops.masked_softmax),
    item_case("masked_log_softmax", ops.masked_log_softmax),
    Case("masked_logsumexp", ops.masked_logsumexp, op(ops.masked_logsumexp), all_masked=float("-inf")),
    Case("masked_mean", ops.masked_mean, op(ops.masked_mean)),
    Case("safe_reduce", ops.safe_reduce, lambda x, labels, mask: ops.safe_reduce(x, mask, "none"), per_item=True),
    maxsim_case("maxsim-pairs", pairs),
    maxsim_case("maxsim-pairs-reference", partial(pairs, backend="reference")),
    maxsim_case("maxsim-all-pairs", all_pairs),
    maxsim_case("maxsim-candidates", candidates),
    Case("maxsim_packed", ops.maxsim_packed, packed, vectors=True, static=False, all_masked=float("-inf")),
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
    "differentiable": lambda case: case.differentiable,
    "reducing": lambda case: case.reduces,
    "list_case": lambda case: not case.vectors,
    "static": lambda case: case.static,
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
