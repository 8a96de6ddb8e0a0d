"""Soft ranks: the definition, and the laws of ranks."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank, soft_rank

values = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20).map(torch.tensor)
METHODS: list[dict[str, Any]] = [
    {},
    {"backend": "reference"},
    {"method": "isotonic"},
    {"method": "isotonic", "regularization": "kl"},
]
# The interpreter says when an exponential becomes infinite, as it should where a sigmoid is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
every_method = pytest.mark.parametrize("options", METHODS, ids=str)


@pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
@pytest.mark.parametrize("sign", [1, -1])
def test_definition(backend: Any, sign: int) -> None:
    x = [0.3, -1.0, 2.0, 0.25]
    expected = [
        1 + sum(1 / (1 + math.exp(-sign * (other - own) / 0.4)) for j, other in enumerate(x) if j != i)
        for i, own in enumerate(x)
    ]
    ranks = soft_rank(torch.tensor(x), temperature=0.4, descending=sign == 1, backend=backend)
    assert_close(ranks, torch.tensor(expected))


@every_method
@pytest.mark.parametrize("relative", [False, True])
def test_gradient_is_the_derivative(options: dict[str, Any], relative: bool) -> None:
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26], [5.0, 0.1, 7.0, -3.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True, True], [True, True, False, True]])
    assert torch.autograd.gradcheck(lambda x: soft_rank(x, temperature=0.8, mask=mask, relative=relative, **options), x)


@every_method
def test_ranks_of_a_list_sum_to_those_of_an_order(options: dict[str, Any]) -> None:
    @settings(deadline=None, max_examples=40)
    @given(values, st.floats(0.05, 10))
    def law(x: Tensor, temperature: float) -> None:
        n, x = len(x), x.double()
        ranks = soft_rank(x, temperature=temperature, **options)
        assert float(ranks.sum()) == pytest.approx(n * (n + 1) / 2)

    law()


@settings(deadline=None)
@given(values, st.floats(0.05, 10))
def test_ascending_ranks_mirror_descending_ones(x: Tensor, temperature: float) -> None:
    ranks = soft_rank(x.double(), temperature=temperature)
    assert_close(soft_rank(x.double(), temperature=temperature, descending=False), len(x) + 1 - ranks)


@settings(deadline=None)
@given(values, st.floats(-3, 3), st.floats(0.1, 10))
def test_only_differences_over_temperature_matter(x: Tensor, shift: float, factor: float) -> None:
    x = x.double()
    assert_close(soft_rank(x * factor + shift, temperature=0.5 * factor), soft_rank(x, temperature=0.5))


@every_method
def test_order_of_items_does_not_matter(options: dict[str, Any]) -> None:
    x, mask, order = torch.randn(5, 90), torch.rand(5, 90) < 0.8, torch.randperm(90)
    ranks = soft_rank(x, temperature=0.3, mask=mask, **options)
    assert_close(soft_rank(x[:, order], temperature=0.3, mask=mask[:, order], **options), ranks[:, order])


@every_method
@pytest.mark.parametrize("descending", [True, False])
def test_towards_temperature_zero_ranks_become_hard(options: dict[str, Any], descending: bool) -> None:
    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.integers(-50, 50), min_size=1, max_size=20, unique=True))
    def law(x: list[int]) -> None:
        scores = torch.tensor(x, dtype=torch.float32)
        ranks = soft_rank(scores, temperature=1 / 24, descending=descending, **options)
        assert_close(ranks, hard_rank(scores, descending=descending))

    law()


@every_method
@pytest.mark.parametrize("temperature", [1e-40, 1e40])
def test_temperatures_beyond_float32(options: dict[str, Any], temperature: float) -> None:
    if "method" in options:
        pytest.skip("the projection divides by the temperature first")
    x = torch.tensor([[1.0, 3.0, 2.0, 2.0]])
    expected = torch.tensor([[4.0, 1.0, 2.5, 2.5]]) if temperature < 1 else torch.full((1, 4), 2.5)
    mask = torch.tensor([[True] * 4 + [False]])
    ranks = soft_rank(torch.nn.functional.pad(x, (0, 1)), temperature=temperature, mask=mask, **options)
    assert_close(ranks[:, :4], expected)


@every_method
def test_ties_share_the_mean_of_their_ranks(options: dict[str, Any]) -> None:
    ranks = soft_rank(torch.tensor([1.0, 5.0, 1.0, 1.0]), temperature=0.01, **options)
    assert_close(ranks, torch.tensor([3.0, 1.0, 3.0, 3.0]))


def test_relative_temperature_counts_deviations() -> None:
    x = torch.tensor([[1.0, 5.0, 3.0, 99.0], [4.0, 4.0, 4.0, 4.0]])
    mask = torch.tensor([[True, True, True, False], [True, True, True, True]])
    ranks = soft_rank(x, temperature=0.5, mask=mask, relative=True)
    deviation = math.sqrt(8 / 3)
    assert_close(ranks[:1], soft_rank(x[:1], temperature=0.5 * deviation, mask=mask[:1]))
    assert_close(ranks[1], torch.full((4,), 2.5))


@settings(deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=2, max_size=12), st.floats(-3, 3), st.floats(0.1, 10))
def test_relative_ranks_ignore_scale_and_shift(integers: list[int], shift: float, factor: float) -> None:
    x = torch.tensor(integers, dtype=torch.float64).requires_grad_()
    ranks = soft_rank(x, temperature=0.5, relative=True)
    moved = soft_rank(x * factor + shift, temperature=0.5, relative=True)
    assert_close(moved, ranks, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(ranks.square().sum(), x)
    # Nothing changes along a stretch about the mean.
    assert float(gradient @ (x.detach() - x.detach().mean())) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
@pytest.mark.parametrize("relative", [False, True])
def test_infinite_scores_rank_beyond_finite_ones(backend: Any, relative: bool) -> None:
    """A document without tokens scores -inf and must not make NaN of the list."""
    inf = float("inf")
    x = torch.tensor([1.0, -inf, 3.0, inf, -inf], requires_grad=True)
    ranks = soft_rank(x, temperature=0.05, relative=relative, backend=backend)
    assert_close(ranks, torch.tensor([3.0, 4.5, 2.0, 1.0, 4.5]))
    ranks.square().sum().backward()
    assert x.grad is not None
    assert x.grad[[1, 3, 4]].tolist() == [0.0, 0.0, 0.0]
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
def test_nan_marks_the_real_items_of_its_list(backend: Any) -> None:
    nan = float("nan")
    x = torch.tensor([[1.0, nan, 2.0], [1.0, nan, 2.0], [3.0, 1.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, False, True], [True, True, True]])
    ranks = soft_rank(x, temperature=0.01, mask=mask, backend=backend)
    expected = torch.tensor([[nan, nan, 0.0], [2.0, 0.0, 1.0], [1.0, 3.0, 2.0]])
    assert_close(ranks, expected, equal_nan=True)


@every_method
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 0, 4)])
@pytest.mark.parametrize("relative", [False, True])
def test_nothing_to_rank(options: dict[str, Any], shape: tuple[int, ...], relative: bool) -> None:
    x = torch.ones(shape, dtype=torch.float16, requires_grad=True)
    ranks = soft_rank(x, temperature=1.0, relative=relative, **options)
    (gradient,) = torch.autograd.grad(ranks.sum(), x)
    assert (ranks.shape, ranks.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)


@every_method
@pytest.mark.parametrize("relative", [False, True])
def test_a_list_of_one(options: dict[str, Any], relative: bool) -> None:
    x = torch.randn(4, 1, requires_grad=True)
    ranks = soft_rank(x, temperature=0.1, relative=relative, **options)
    assert_close(ranks, torch.ones(4, 1))
    assert_close(torch.autograd.grad(ranks.sum(), x)[0], torch.zeros(4, 1))


def test_half_precision_lists_longer_than_2048() -> None:
    """torchsort kept indices in the dtype of the data, where 2049 is 2048."""
    x = torch.arange(5000, dtype=torch.int16).view(torch.float16)[torch.randperm(5000)]
    expected = 5000 - x.view(torch.int16).float()
    assert_close(hard_rank(x), expected)
    assert_close(soft_rank(x, temperature=1e-9), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature: expected a number above 0, got 0.0"),
        ({"temperature": float("inf")}, r"temperature: expected a finite number, got inf"),
        ({"temperature": float("nan")}, r"temperature: expected a number above 0, got nan"),
        (
            {"temperature": 1.0, "method": "sort"},
            r'method: expected one of "sigmoid", "isotonic", .*"perturbed", got \'sort\'',
        ),
        (
            {"temperature": 1.0, "regularization": "kl"},
            r'regularization: not an option of method="sigmoid", which has none',
        ),
        (
            {"temperature": 1.0, "method": "isotonic", "regularization": "l1"},
            r'regularization: expected one of "l2", "kl", got \'l1\'',
        ),
        ({"temperature": 1.0, "backend": "cuda"}, r'backend: expected "auto", "triton" or "reference"'),
    ],
)
def test_what_does_not_fit_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft_rank(torch.ones(3), **options)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_integers_are_not_differentiable(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=r"x: expected a floating-point tensor, got .*; convert it with \.float\(\)"):
        soft_rank(torch.ones(3, dtype=dtype), temperature=1.0)


@pytest.mark.parametrize(("method", "relative"), list(itertools.product(["sigmoid", "isotonic"], [False, True])))
def test_masked_items_take_no_gradient(method: Any, relative: bool) -> None:
    x, mask = torch.randn(3, 12, requires_grad=True), torch.rand(3, 12) < 0.6
    ranks = soft_rank(x, temperature=0.5, mask=mask, method=method, relative=relative)
    gradient = torch.autograd.grad((ranks * torch.randn(3, 12)).sum(), x)[0]
    assert (ranks[~mask] == 0).all()
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).any()
