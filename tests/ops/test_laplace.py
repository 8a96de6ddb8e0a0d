"""Laplace ranks, thresholds, selections and sorted values: the definitions, and their laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank
from rankgrad.ops.laplace import ranks, sorted_values, thresholds, top_k_weights

BACKENDS = ["auto", "reference", "triton"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
exact_backends = pytest.mark.parametrize("backend", ["auto", "reference"])
INF, NAN = float("inf"), float("nan")
# The interpreter says when a distance becomes infinite, as it may where an exponential is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")


def distribution(z: float) -> float:
    return math.exp(z) / 2 if z < 0 else 1 - math.exp(-z) / 2


def threshold(x: list[float], count: float, temperature: float) -> float:
    """By bisection of the definition."""
    low, high = min(x) - 60 * temperature, max(x) + 60 * temperature
    for _ in range(200):
        middle = (low + high) / 2
        above = sum(distribution((value - middle) / temperature) for value in x) > count
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2


@every_backend
def test_ranks_are_sums_of_distributions(backend: Any) -> None:
    x = [0.3, -1.0, 2.0, 0.25, 0.3]
    expected = [0.5 + sum(distribution((other - own) / 0.4) for other in x) for own in x]
    assert_close(ranks(torch.tensor(x), None, 0.4, backend=backend), torch.tensor(expected))


@every_backend
@pytest.mark.parametrize("temperature", [0.01, 0.4, 30.0])
def test_thresholds_solve_the_definition(backend: Any, temperature: float) -> None:
    x = [0.3, -1.0, 2.0, 0.25, 0.3]
    counts = [0.001, 0.5, 1.0, 1.7, 2.0, 3.5, 4.999]
    expected = torch.tensor([threshold(x, count, temperature) for count in counts])
    found = thresholds(torch.tensor(x), None, torch.tensor(counts), temperature, backend=backend)
    if temperature == 0.01:
        # Between values far apart all thresholds have a count of 1 to rounding. The exact one lies where one value
        # above pulls as much as those below, seen from the highest of them.
        expected[2] = 1.15 + 0.005 * math.log(2 + math.exp(-5))
    assert_close(found, expected, rtol=1e-5, atol=1e-5 * temperature)


@every_backend
def test_weights_of_known_lists(backend: Any) -> None:
    """The values that the method's formulas give by hand."""
    x = torch.tensor([2.0, 1.0, 0.0])
    expected = torch.tensor([[0.645312, 0.259298, 0.095390], [0.996631, 0.003369, 0.0], [0.336672, 0.333322, 0.330006]])
    found = top_k_weights(x.expand(3, 3), None, 1.0, torch.tensor([1.0, 0.1, 100.0]), backend=backend)
    assert_close(found, expected, rtol=0, atol=1e-6)
    tied = top_k_weights(torch.tensor([1.0, 1.0, 0.0]), None, 1.0, 1e-3, backend=backend)
    assert_close(tied, torch.tensor([0.5, 0.5, 0.0]))


@exact_backends
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_the_derivatives(backend: Any, masked: bool) -> None:
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26, 0.3], [5.0, 0.1, 7.0, -3.0, 5.5]], dtype=torch.float64)
    x[1, 3] = NAN if masked else -3.0
    mask = torch.tensor([[True] * 5, [True, True, True, False, True]]) if masked else None
    k = torch.tensor([2.0, 1.3], dtype=torch.float64, requires_grad=True)
    temperature = torch.tensor([0.4, 0.9], dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([3.2, 0.5, 1.0, 0.5], dtype=torch.float64, requires_grad=True)
    nudge = torch.zeros_like(x, requires_grad=True)

    def check(function: Any, *operands: Tensor) -> None:
        assert torch.autograd.gradcheck(function, operands)

    # Tied values are where ranks have a kink in the second derivative only.
    check(lambda nudge: ranks(x + nudge, mask, 0.8, backend=backend), nudge)
    check(lambda nudge: sorted_values(x + nudge, mask, 0.8, backend=backend), nudge)
    check(lambda nudge, k, t: top_k_weights(x + nudge, mask, k, t, backend=backend), nudge, k, temperature)
    check(lambda nudge, c, t: thresholds(x + nudge, mask, c, t, backend=backend), nudge, counts, temperature[0])


def test_only_the_reference_of_ranks_is_differentiable_twice() -> None:
    x = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: ranks(x, None, 0.8, backend="reference"), x)


@exact_backends
def test_laws_of_ranks(backend: Any) -> None:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20), st.floats(0.01, 10))
    def law(integers: list[float], temperature: float) -> None:
        x = torch.tensor(integers, dtype=torch.float64)
        found, n = ranks(x, None, temperature, backend=backend), len(x)
        assert float(found.sum()) == pytest.approx(n * (n + 1) / 2)
        assert_close(ranks(-x, None, temperature, backend=backend), n + 1 - found)
        assert_close(ranks(x * 3 + 5, None, temperature * 3, backend=backend), found)

    law()


@exact_backends
def test_laws_of_weights_and_sorted_values(backend: Any) -> None:
    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20), st.floats(0.01, 10), st.floats(0.01, 0.99))
    def law(values: list[float], temperature: float, share: float) -> None:
        x = torch.tensor(values, dtype=torch.float64)
        k = share * len(x)
        weights = top_k_weights(x, None, k, temperature, backend=backend)
        assert float(weights.sum()) == pytest.approx(k)
        mirrored = top_k_weights(-x, None, len(x) - k, temperature, backend=backend)
        assert_close(mirrored, 1 - weights, rtol=0, atol=1e-9)
        ordered = sorted_values(x, None, temperature, backend=backend)
        assert (ordered.diff() <= 1e-12).all()
        assert_close(sorted_values(-x, None, temperature, backend=backend), -ordered.flip(0), rtol=1e-7, atol=1e-9)

    law()


@every_backend
def test_towards_temperature_zero_all_becomes_hard(backend: Any) -> None:
    x, mask = torch.randperm(40).float().view(2, 20), torch.rand(2, 20) < 0.8
    mask[:, :4] = True
    hard = hard_rank(x, mask=mask)
    assert_close(ranks(x, mask, 1 / 24, backend=backend), hard)
    assert_close(top_k_weights(x, mask, 3.0, 1 / 48, backend=backend), ((hard > 0) & (hard <= 3)).float())
    ordered = x.masked_fill(~mask, -INF).sort(dim=-1, descending=True).values
    assert_close(sorted_values(x, mask, 1 / 48, backend=backend), ordered.where(ordered.isfinite(), 0.0))


@every_backend
@pytest.mark.parametrize("temperature", [1e-40, 1e40])
def test_temperatures_beyond_float32(backend: Any, temperature: float) -> None:
    x = torch.tensor([1.0, 3.0, 2.0, 2.0])
    soft = temperature > 1
    expected = torch.full((4,), 2.5) if soft else torch.tensor([4.0, 1.0, 2.5, 2.5])
    assert_close(ranks(x, None, temperature, backend=backend), expected)
    expected = torch.full((4,), 0.5) if soft else torch.tensor([0.0, 1.0, 0.5, 0.5])
    assert_close(top_k_weights(x, None, 2.0, temperature, backend=backend), expected)


@every_backend
def test_of_a_hard_selection_both_neighbours_feel_the_count(backend: Any) -> None:
    """Nothing else reaches the threshold, so that exponentials vanish, and their shares must not."""
    x = torch.tensor([3.0, 2.0, 1.0, 0.0], requires_grad=True)
    found = thresholds(x, None, torch.tensor([2.0]), 1e-3, backend=backend)
    assert_close(found, torch.tensor([1.5]))
    assert_close(torch.autograd.grad(found, x)[0], torch.tensor([0.0, 0.5, 0.5, 0.0]))
    k = torch.tensor(2.0, requires_grad=True)
    weights = top_k_weights(x, None, k, 1e-3, backend=backend)
    assert_close(weights, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    if backend != "reference":
        assert_close(torch.autograd.grad(weights[1], k)[0], torch.tensor(0.5))


@every_backend
def test_counts_that_no_threshold_has(backend: Any) -> None:
    x = torch.randn(5, 4, requires_grad=True)
    mask = torch.tensor([[True] * 4, [True] * 4, [True, True, False, False], [False] * 4, [True] * 4])
    k = torch.tensor([0.0, 4.0, 3.0, 1.0, -1.0], requires_grad=True)
    temperature = torch.full((5,), 0.5, requires_grad=True)
    weights = top_k_weights(x, mask, k, temperature, backend=backend)
    assert_close(weights, torch.tensor([[0.0] * 4, [1.0] * 4, [1.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]))
    found = thresholds(x, mask, k.unsqueeze(1), temperature, backend=backend)
    assert_close(found.squeeze(1), torch.tensor([INF, -INF, -INF, 0.0, INF]))
    for result in (weights.sum(), found.where(found.isfinite(), 0.0).sum()):
        for gradient in torch.autograd.grad(result, (x, k, temperature)):
            assert_close(gradient, torch.zeros_like(gradient))


@every_backend
@pytest.mark.parametrize("function", [ranks, sorted_values])
def test_masked_infinite_and_unknown_values(backend: Any, function: Any) -> None:
    x = torch.tensor([[1.0, NAN, 2.0, 0.0], [1.0, NAN, 2.0, NAN], [3.0, -INF, 2.0, INF], [NAN] * 4])
    mask = torch.tensor([[True, True, False, True], [True, False, True, False], [True] * 4, [False] * 4])
    x.requires_grad_()
    result = function(x, mask, 0.01, backend=backend)
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert (gradient[~mask] == 0).all()
    assert (gradient[2, [1, 3]] == 0).all()
    assert gradient[1:].isfinite().all()
    if function is ranks:
        expected = [[NAN, NAN, 0.0, NAN], [2.0, 0.0, 1.0, 0.0], [2.0, 4.0, 3.0, 1.0], [0.0] * 4]
        assert_close(result, torch.tensor(expected), equal_nan=True)
    else:
        expected = [[NAN, NAN, NAN, 0.0], [2.0, 1.0, 0.0, 0.0]]
        assert_close(result[:2], torch.tensor(expected), equal_nan=True)
        assert_close(result[2, 1:3], torch.tensor([3.0, 2.0]))
        assert (result[3] == 0).all()


@every_backend
def test_weights_of_masked_infinite_and_unknown_values(backend: Any) -> None:
    x = torch.tensor([[1.0, NAN, 2.0], [1.0, NAN, 2.0], [3.0, -INF, INF], [NAN] * 3], requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, False, True], [True] * 3, [False] * 3])
    weights = top_k_weights(x, mask, 1.0, 0.01, backend=backend)
    expected = torch.tensor([[NAN, NAN, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0] * 3])
    assert_close(weights, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(weights.square().sum(), x)
    assert_close(gradient[1:], torch.zeros(3, 3), rtol=0, atol=1e-12)


@every_backend
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 1), (1,)])
def test_empty_lists_and_lists_of_one(backend: Any, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float16, requires_grad=True)
    for result in (
        ranks(x, None, 0.5, backend=backend),
        sorted_values(x, None, 0.5, backend=backend),
        top_k_weights(x, None, 0.5, 0.5, backend=backend) * 2,
    ):
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert_close(result, torch.ones(shape))
        assert (gradient.shape, gradient.dtype) == (x.shape, torch.float16)
    assert thresholds(x, None, torch.ones(3), 0.5, backend=backend).shape == (*shape[:-1], 3)


def test_float64_is_not_for_kernels() -> None:
    with pytest.raises(InputError, match=r'backend: "triton" cannot run: .*accumulate in float32'):
        ranks(torch.ones(3, dtype=torch.float64), None, 1.0, backend="triton")
