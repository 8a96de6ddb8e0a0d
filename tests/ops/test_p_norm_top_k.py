"""Sparse top-k weights: worked values, the optimality conditions, and the projection that p = 2 is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import isotonic_regression
from rankgrad.ops.p_norm_top_k import weights

POWERS = [2.0, 4 / 3]
every_p = pytest.mark.parametrize("p", POWERS)
values = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=30).map(
    lambda x: torch.tensor(x, dtype=torch.float64)
)


@pytest.mark.parametrize(
    ("x", "temperature", "p", "expected"),
    [
        ([2.0, 1.5, 0.0], 1.0, 2.0, [0.75, 0.25, 0.0]),
        ([2.0, 1.5, 0.0], 1.0, 4 / 3, [0.899300, 0.100700, 0.0]),
        ([2.0, 1.1, 0.0], 1.0, 2.0, [0.95, 0.05, 0.0]),
        ([2.0, 1.1, 0.0], 1.0, 4 / 3, [0.99901, 0.00099, 0.0]),
        ([2.0, 1.9, 1.8], 0.5, 2.0, [0.533333, 0.333333, 0.133333]),
        ([2.0, 1.9, 1.8], 0.5, 4 / 3, [0.624901, 0.280938, 0.094161]),
    ],
)
def test_worked_values(x: list[float], temperature: float, p: float, expected: list[float]) -> None:
    """Of the paper's own code, to its six digits."""
    found = weights(torch.tensor(x), None, 1, temperature, p=p)
    assert_close(found, torch.tensor(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("p", "expected"), [(2.0, 0.5), (4 / 3, 0.526928)])
def test_worked_derivatives(p: float, expected: float) -> None:
    x = torch.tensor([2.0, 1.5, 0.0], dtype=torch.float64, requires_grad=True)
    (row,) = torch.autograd.grad(weights(x, None, 1, 1.0, p=p)[0], x)
    assert_close(row, torch.tensor([expected, -expected, 0.0]).double(), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=120)
@given(values, st.floats(0.01, 1), st.floats(0.05, 20), st.sampled_from([*POWERS, 1.5]))
def test_definition(x: Tensor, share: float, temperature: float, p: float) -> None:
    """``clamp((x - t) / temperature, 0, 1)^(1 / (p - 1))`` with the t at which they sum to k, also for broken k."""
    k, n = share * len(x), len(x)

    def at(level: float) -> Tensor:
        return ((x - level) / temperature).clamp(0, 1).pow(1 / (p - 1))

    found = weights(x, None, k, temperature, p=p)
    assert float(found.sum()) == pytest.approx(k)
    assert ((found >= 0) & (found <= 1)).all()
    if k < n:
        low, high = float(x.min()) - temperature - 1, float(x.max()) + 1
        level = brentq(lambda level: float(at(level).sum()) - k, low, high, xtol=1e-14, maxiter=300)
        assert_close(found, at(level), rtol=1e-6, atol=1e-9)
    assert_close(weights(x.float(), None, k, temperature, p=p), found.float(), rtol=1e-4, atol=2e-6)


def test_p_2_is_the_isotonic_projection() -> None:
    """Of ``x / temperature`` on the orders of k ones and n - k zeros."""
    x, k, temperature = torch.randn(4, 25, dtype=torch.float64), 6, 1.5
    ordered, order = (x / temperature).sort(dim=-1, descending=True)
    target = (torch.arange(25) < k).double()
    projected = ordered - isotonic_regression(ordered - target, increasing=False)
    assert_close(weights(x, None, k, temperature, p=2).gather(-1, order), projected)


@every_p
@pytest.mark.parametrize("k", [1, 2, 2.5])
def test_gradient_is_the_derivative(p: float, k: float) -> None:
    x = torch.tensor([[0.3, -1.0, 0.8, 0.26, 0.1], [1.0, 0.1, 7.0, 0.9, 0.4]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, False, True, True]])
    assert torch.autograd.gradcheck(lambda x: weights(x, mask, k, 1.3, p=p), x)


@every_p
@pytest.mark.parametrize("k", [1, 3, 40])
def test_hard_where_the_next_is_a_temperature_below(p: float, k: int) -> None:
    x = (torch.arange(60.0)[torch.randperm(60)] / 4).requires_grad_()
    found = weights(x, None, k, 0.25, p=p)
    assert torch.equal(found.detach(), (x >= (60 - k) / 4).float())
    assert torch.equal(torch.autograd.grad(found, x, torch.randn(60))[0], torch.zeros(60))
    assert not torch.equal(weights(x, None, k, 0.3, p=p), found)


@every_p
def test_ties_and_large_temperatures(p: float) -> None:
    assert_close(
        weights(torch.tensor([1.0, 5.0, 1.0, 1.0]), None, 2, 1e-9, p=p), torch.tensor([1 / 3, 1, 1 / 3, 1 / 3])
    )
    assert_close(weights(torch.randn(50), None, 7, 1e40, p=p), torch.full((50,), 0.14))
    assert weights(torch.tensor([1.0, 3.0, 2.0]), None, 1, 1e-40, p=p).tolist() == [0.0, 1.0, 0.0]


@every_p
def test_long_lists_in_float32(p: float) -> None:
    """A sum of 20,000 weights in float32 would find the threshold to 3 digits."""
    x = torch.randn(50_000, dtype=torch.float64)
    found = weights(x.float(), None, 20_000, 0.5, p=p)
    assert_close(found, weights(x.float().double(), None, 20_000, 0.5, p=p).float(), rtol=0, atol=2e-6)


@every_p
def test_values_that_are_no_numbers(p: float) -> None:
    inf, nan = math.inf, math.nan
    rows = [
        ([1.0, -inf, 1.0, 4.0, nan], [True, True, True, True, False], [0.5, 0.0, 0.5, 1.0, 0.0]),
        ([1.0, inf, inf, inf, inf], [True, True, True, True, False], [0.0, 2 / 3, 2 / 3, 2 / 3, 0.0]),
        ([3.0, -inf, nan, nan, 1e9], [True, True, False, False, False], [1.0, 1.0, 0.0, 0.0, 0.0]),
        ([3.0, nan, nan, nan, 1e9], [True, False, False, False, False], [1.0, 0.0, 0.0, 0.0, 0.0]),
        ([1.0, nan, 2.0, 3.0, nan], [True, True, True, True, False], [nan, nan, nan, nan, 0.0]),
        ([nan, inf, -inf, 1e9, 0.0], [False] * 5, [0.0] * 5),
    ]
    x, mask, expected = (torch.tensor(column) for column in zip(*rows, strict=True))
    x.requires_grad_()
    found = weights(x, mask, 2, 0.5, p=p)
    assert_close(found, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(found, x, torch.arange(30.0).view(6, 5).sin())
    assert gradient.isfinite().all()
    assert (gradient[~mask | ~x.isfinite()] == 0).all()


@pytest.mark.parametrize(("k", "expected"), [(0, 0.0), (5, 1.0), (9, 1.0)])
def test_none_and_all(k: int, expected: float) -> None:
    x = torch.randn(2, 5, requires_grad=True)
    found = weights(x, None, k, 1.0)
    assert torch.equal(found.detach(), torch.full((2, 5), expected))
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.zeros(2, 5))


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 1)])
def test_little_to_choose_from(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, dtype=torch.float16, requires_grad=True)
    found = weights(x, None, 1, 1.0)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)


def test_compiles_without_a_graph_break() -> None:
    x, mask = torch.randn(3, 6, requires_grad=True), torch.rand(3, 6) < 0.8
    torch.compiler.reset()
    compiled = torch.compile(lambda x, mask: weights(x, mask, 2, 0.7), fullgraph=True, backend="aot_eager")
    value, expected = compiled(x, mask), weights(x, mask, 2, 0.7)
    assert_close(value, expected)
    assert_close(*(torch.autograd.grad(result.square().sum(), x)[0] for result in (value, expected)))
    assert weights(x.detach().to("meta"), mask.to("meta"), 2, 0.7).shape == (3, 6)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="p: expected a number above 1 and at most 2, got 3"):
        weights(torch.ones(3), None, 1, 1.0, p=3)
    with pytest.raises(InputError, match="k: expected a number of at least 0, got -1"):
        weights(torch.ones(3), None, -1, 1.0)
