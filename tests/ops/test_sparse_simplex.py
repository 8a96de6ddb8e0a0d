"""Sparse probabilities: their optimality conditions, solved by bisection, and their Jacobians."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import p_norm_top_k
from rankgrad.ops.sparse_simplex import entmax15, sparsemax

# (operator, what values are scaled by, what exceeds the threshold is raised to, lead of one item that takes all)
KINDS: list[tuple[Any, float, int, float]] = [(sparsemax, 1.0, 1, 1.0), (entmax15, 0.5, 2, 2.0)]
every_kind = pytest.mark.parametrize(("operator", "scale", "power", "lead"), KINDS, ids=["sparsemax", "entmax15"])
every_operator = pytest.mark.parametrize("operator", [sparsemax, entmax15])
values = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=30).map(
    lambda x: torch.tensor(x, dtype=torch.float64)
)


def defined(x: Tensor, scale: float, power: int) -> Tensor:
    """``max(scale x - t, 0)^power`` with the t at which they sum to 1, which lies within 1 below the highest."""
    scaled = scale * x
    high = float(scaled.max())
    level = brentq(lambda t: float((scaled - t).clamp(min=0).pow(power).sum()) - 1, high - 1 - 1e-9, high, xtol=1e-14)
    return (scaled - level).clamp(min=0).pow(power)


@every_kind
def test_definition(operator: Any, scale: float, power: int, lead: float) -> None:
    @settings(deadline=None, max_examples=60)
    @given(values)
    def law(x: Tensor) -> None:
        found = operator(x)
        assert_close(found, defined(x, scale, power), rtol=1e-7, atol=1e-9)
        assert float(found.sum()) == pytest.approx(1.0)
        assert_close(operator(x + 3), found, rtol=1e-6, atol=1e-7)
        assert_close(operator(x.float()), found.float(), rtol=1e-4, atol=1e-6)

    law()


@every_operator
def test_gradient_is_the_derivative(operator: Any) -> None:
    x = torch.tensor([[0.3, -1.0, 0.8, 0.26, 0.1], [1.0, 0.1, 7.0, 0.9, 0.3]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, False, True, True]])
    assert torch.autograd.gradcheck(lambda x: operator(x, mask=mask), x)


def test_jacobians_are_those_of_the_papers() -> None:
    x, upstream = torch.randn(20, dtype=torch.float64, requires_grad=True), torch.randn(20, dtype=torch.float64)
    found = sparsemax(x)
    support = (found > 0).double()
    expected = support * (upstream - (support * upstream).sum() / support.sum())
    assert_close(torch.autograd.grad(found, x, upstream)[0], expected)
    found = entmax15(x)
    roots = found.detach().sqrt()
    expected = roots * (upstream - (roots * upstream).sum() / roots.sum())
    assert_close(torch.autograd.grad(found, x, upstream)[0], expected)


@every_kind
def test_one_item_far_above_takes_everything(operator: Any, scale: float, power: int, lead: float) -> None:
    x = torch.tensor([1.0, 1.0 + lead, -1.0], requires_grad=True)
    found = operator(x)
    assert found.tolist() == [0.0, 1.0, 0.0]
    assert torch.autograd.grad(found[1], x)[0].tolist() == [0.0, 0.0, 0.0]
    assert operator(torch.tensor([1.0, 0.98 + lead]))[0] > 0


@every_operator
def test_equal_values_share_evenly(operator: Any) -> None:
    assert_close(operator(torch.full((3, 7), -4.0)), torch.full((3, 7), 1 / 7))


@every_kind
@pytest.mark.parametrize("spread", [1e-3, 0.5, 1e6])
def test_long_lists_in_float32(operator: Any, scale: float, power: int, lead: float, spread: float) -> None:
    x = torch.randn(50_000) * spread
    assert_close(operator(x), defined(x.double(), scale, power).float(), rtol=1e-3, atol=1e-7)


@every_operator
def test_values_that_are_no_numbers(operator: Any) -> None:
    inf, nan = math.inf, math.nan
    rows = [
        ([1.0, -inf, 1.0, nan], [True, True, True, False], [0.5, 0.0, 0.5, 0.0]),
        ([1.0, inf, inf, 9.0], [True, True, True, False], [0.0, 0.5, 0.5, 0.0]),
        ([-inf, -inf, 1.0, 1e9], [True, True, False, False], [0.5, 0.5, 0.0, 0.0]),
        ([1.0, nan, 2.0, nan], [True, True, True, False], [nan, nan, nan, 0.0]),
        ([nan, inf, -inf, 1e9], [False] * 4, [0.0] * 4),
    ]
    x, mask, expected = (torch.tensor(column) for column in zip(*rows, strict=True))
    x.requires_grad_()
    found = operator(x, mask=mask)
    assert_close(found, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(found, x, torch.arange(20.0).view(5, 4).exp())
    assert gradient.isfinite().all()
    assert (gradient[~mask | ~x.isfinite()] == 0).all()


@every_operator
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 1)])
def test_little_to_share(operator: Any, shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, dtype=torch.float16, requires_grad=True)
    found = operator(x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)
    assert_close(found, torch.ones(shape))


def test_they_are_top_k_weights_of_one() -> None:
    """By another way: halving in place of sorting."""
    x = torch.randn(4, 30)
    assert_close(sparsemax(x), p_norm_top_k.weights(x, None, 1, 1.0, p=2), rtol=1e-4, atol=1e-6)
    assert_close(entmax15(x), p_norm_top_k.weights(x, None, 1, 2.0, p=1.5), rtol=1e-4, atol=1e-6)


@every_operator
def test_compiles_without_a_graph_break(operator: Any) -> None:
    x, mask = torch.randn(3, 6, requires_grad=True), torch.rand(3, 6) < 0.8
    torch.compiler.reset()
    compiled = torch.compile(lambda x, mask: operator(x, mask=mask), fullgraph=True, backend="aot_eager")
    value, expected = compiled(x, mask), operator(x, mask=mask)
    assert_close(value, expected)
    assert_close(*(torch.autograd.grad(result.square().sum(), x)[0] for result in (value, expected)))
    assert operator(x.detach().to("meta"), mask=mask.to("meta")).shape == (3, 6)


@every_operator
def test_what_does_not_fit_is_named(operator: Any) -> None:
    with pytest.raises(ValueError, match=r"mask: expected shape \[3\], got \[2\]"):
        operator(torch.ones(3), mask=torch.ones(2, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"x: expected a floating-point tensor"):
        operator(torch.ones(3, dtype=torch.int64))
