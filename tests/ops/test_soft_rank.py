"""Soft ranks: the tiled form against the definition, and the laws of ranks."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank, soft_rank

implementation = import_module("rankgrad.ops.soft_rank")
values = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20).map(torch.tensor)


def ranks_and_gradient(backend: Any, x: Tensor, mask: Tensor, **options: Any) -> list[Tensor]:
    x = x.detach().requires_grad_()
    ranks = soft_rank(x, temperature=0.4, mask=mask, backend=backend, **options)
    upstream = torch.linspace(-1, 2, ranks.numel(), dtype=ranks.dtype).view(ranks.shape)
    return [ranks.detach(), *torch.autograd.grad(ranks, x, upstream)]


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("sign", [1, -1])
def test_definition(backend: Any, sign: int) -> None:
    x = [0.3, -1.0, 2.0, 0.25]
    expected = [
        1 + sum(1 / (1 + math.exp(-sign * (other - own) / 0.4)) for j, other in enumerate(x) if j != i)
        for i, own in enumerate(x)
    ]
    ranks = soft_rank(torch.tensor(x), temperature=0.4, descending=sign == 1, backend=backend)
    assert_close(ranks, torch.tensor(expected))


@pytest.mark.parametrize("shape", [(7,), (3, 50), (2, 3, 11), (1,), (4, 1), (0, 5), (3, 0)])
@pytest.mark.parametrize("tile", [1, 64, 1 << 16])
@pytest.mark.parametrize("descending", [True, False])
def test_tiles_agree_with_reference(
    shape: tuple[int, ...], tile: int, descending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(implementation, "_TILE_ELEMENTS", tile)
    x, mask = torch.randn(shape, dtype=torch.float64), torch.rand(shape) < 0.7
    results = [ranks_and_gradient(backend, x, mask, descending=descending) for backend in ("auto", "reference")]
    assert_close(*results)


@pytest.mark.usefixtures("nan_filled_memory")
def test_every_place_of_the_result_is_written() -> None:
    x, mask = torch.randn(5, 300), torch.rand(5, 300) < 0.9
    assert_close(ranks_and_gradient("auto", x, mask), ranks_and_gradient("reference", x, mask), rtol=1e-4, atol=1e-4)


def test_no_n_by_n_tensor_forward_or_backward(operators: Callable[[], Any]) -> None:
    x = torch.randn(1500, requires_grad=True)
    with operators() as seen:
        soft_rank(x, temperature=0.1).sum().backward()
    assert seen.largest <= implementation._TILE_ELEMENTS < x.numel() ** 2


@settings(deadline=None)
@given(values, st.floats(0.05, 10))
def test_ranks_of_a_list_sum_to_those_of_an_order(x: Tensor, temperature: float) -> None:
    n = len(x)
    ranks = soft_rank(x.double(), temperature=temperature)
    assert float(ranks.sum()) == pytest.approx(n * (n + 1) / 2)
    assert_close(soft_rank(x.double(), temperature=temperature, descending=False), n + 1 - ranks)


@settings(deadline=None)
@given(values, st.floats(-3, 3), st.floats(0.1, 10))
def test_only_differences_over_temperature_matter(x: Tensor, shift: float, factor: float) -> None:
    x = x.double()
    assert_close(soft_rank(x * factor + shift, temperature=0.5 * factor), soft_rank(x, temperature=0.5))


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=20, unique=True))
def test_towards_temperature_zero_ranks_become_hard(x: list[int]) -> None:
    scores = torch.tensor(x, dtype=torch.float32)
    assert_close(soft_rank(scores, temperature=0.01), hard_rank(scores))


def test_ties_share_the_mean_of_their_ranks() -> None:
    ranks = soft_rank(torch.tensor([1.0, 5.0, 1.0, 1.0]), temperature=0.01)
    assert_close(ranks, torch.tensor([3.0, 1.0, 3.0, 3.0]))


def test_infinite_scores_rank_beyond_finite_ones() -> None:
    """A document without tokens scores -inf and must not make NaN of the list."""
    inf = float("inf")
    x = torch.tensor([1.0, -inf, 3.0, inf, -inf], requires_grad=True)
    ranks = soft_rank(x, temperature=0.1)
    assert_close(ranks, torch.tensor([3.0, 4.5, 2.0, 1.0, 4.5]))
    ranks.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_half_precision_lists_longer_than_2048() -> None:
    """torchsort kept indices in the dtype of the data, where 2049 is 2048."""
    x = torch.arange(3000, dtype=torch.int16).view(torch.float16)[torch.randperm(3000)]
    expected = 3000 - x.view(torch.int16).float()
    assert_close(hard_rank(x), expected)
    assert_close(soft_rank(x, temperature=1e-9), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature: expected a number above 0, got 0.0"),
        ({"temperature": float("nan")}, r"temperature: expected a number above 0, got nan"),
        ({"temperature": 1.0, "method": "sort"}, r'method: expected "sigmoid"'),
        ({"temperature": 1.0, "backend": "triton"}, r"soft_rank has no Triton kernel"),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft_rank(torch.ones(3), **options)
