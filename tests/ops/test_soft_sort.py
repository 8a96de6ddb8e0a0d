"""Soft sorting, and the soft ranks that share its projection: laws, limits, and values of other implementations."""

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
from rankgrad.modules import SoftSort
from rankgrad.ops import hard_rank, isotonic_regression, soft_sort
from rankgrad.ops.isotonic import cpu, ranks

REGULARIZATIONS = ["l2", "kl"]
values = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=40).map(torch.tensor)


def soft_ranks(x: Tensor, temperature: float, **options: Any) -> Tensor:
    return ranks(x, torch.ones_like(x, dtype=torch.bool), temperature, **options)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_worked_values(backend: Any) -> None:
    """Projection of (2.9, 0.1, 1.2) on the orders of (3, 2, 1): the example of the paper's own code, ascending."""
    x = torch.tensor([2.9, 0.1, 1.2], dtype=torch.float64)
    assert_close(soft_ranks(-x, 1.0, backend=backend), torch.tensor([3.0, 1.0, 2.0]).double())
    # (3, 2, 1) / 2 - x = (-1.4, -0.2, 0.4) rises, so all is one block: its mean is (6 / 2 - 4.2) / 3 = -0.4.
    expected = torch.tensor([1.9, 1.4, 0.9], dtype=torch.float64)
    assert_close(soft_sort(x, temperature=2.0, backend=backend), expected)
    # In the Fenchel-Young example theta = (1, 0.2, 0) is projected to (2.6, 1.8, 1.6).
    theta = torch.tensor([1.0, 0.2, 0.0], dtype=torch.float64)
    assert_close(soft_ranks(-theta, 1.0, backend=backend), torch.tensor([2.6, 1.8, 1.6]).double())


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_projection_by_isotonic_regression(regularization: Any) -> None:
    """The formula of the paper, with the regression as a function of its own."""
    x, n, temperature = torch.randn(30, dtype=torch.float64), 30, 0.3
    places = torch.arange(n, 0, -1, dtype=torch.float64)
    z, order = (-x / temperature).sort(descending=True)
    if regularization == "l2":
        sorted_ranks = z - isotonic_regression(z - places, increasing=False)
        ordered = places / temperature - isotonic_regression(
            places / temperature - x.sort(descending=True).values, increasing=False
        )
    else:
        level = isotonic_regression(z - places.log(), places, increasing=False, regularization="kl")
        sorted_ranks = (z - level).exp()
        high = x.sort(descending=True).values
        level = isotonic_regression(places / temperature - high, high.exp(), increasing=False, regularization="kl")
        ordered = places / temperature - level
    assert_close(soft_ranks(x, temperature, regularization=regularization)[order], sorted_ranks)
    assert_close(soft_sort(x, temperature=temperature, regularization=regularization), ordered)


@settings(deadline=None, max_examples=60)
@given(values, st.floats(0.02, 20), st.sampled_from(REGULARIZATIONS))
def test_laws(x: Tensor, temperature: float, regularization: str) -> None:
    """Sums are kept (of exponentials with kl), orders too, and a shift shifts the sorted list alone."""
    x, n = x.double(), len(x)
    options: dict[str, Any] = {"temperature": temperature, "regularization": regularization}
    found = soft_ranks(x, **options)
    assert float(found.sum()) == pytest.approx(n * (n + 1) / 2)
    assert (found[x.argsort()].diff() <= 1e-9).all()
    assert_close(soft_ranks(x + 3, **options), found, rtol=1e-5, atol=1e-5)
    ordered = soft_sort(x, **options)
    total = torch.sum if regularization == "l2" else lambda each: each.logsumexp(0)
    assert_close(total(ordered), total(x))
    assert (ordered.diff() <= 1e-9).all()
    assert_close(soft_sort(x + 3, **options), ordered + 3)
    assert_close(soft_sort(x, descending=False, **options), -soft_sort(-x, **options))


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_exact_below_the_temperatures_stated(backend: Any) -> None:
    x = torch.tensor([0.3, -1.0, 2.0, 0.55], dtype=torch.float64, requires_grad=True)
    gap, widest = 0.25, 1.45
    for regularization, limit in (("l2", gap), ("kl", gap / math.log(2))):
        options: dict[str, Any] = {"regularization": regularization, "backend": backend}
        exact = soft_ranks(x, 0.99 * limit, **options)
        assert_close(exact, hard_rank(x))
        assert_close(torch.autograd.grad(exact.square().sum(), x)[0], torch.zeros(4).double(), atol=1e-9, rtol=0)
        ordered = soft_sort(x, temperature=0.99 / widest, **options)
        assert_close(ordered, x.sort(descending=True).values)
        gradient = torch.autograd.grad(ordered, x, torch.tensor([1.0, 2.0, 3.0, 4.0]).double())[0]
        assert_close(gradient, torch.tensor([3.0, 4.0, 1.0, 2.0]).double())
        assert not soft_sort(x, temperature=1.01 / widest, **options).allclose(ordered, rtol=0, atol=1e-6)
    assert not soft_ranks(x, 1.01 * gap, backend=backend).allclose(hard_rank(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_hot_limit(regularization: Any) -> None:
    x = torch.randn(50, dtype=torch.float64)
    assert_close(soft_ranks(x, 1e9, regularization=regularization), torch.full((50,), 25.5).double())
    mean = x.mean() if regularization == "l2" else x.logsumexp(0) - math.log(50)
    assert_close(soft_sort(x, temperature=1e9, regularization=regularization), mean.expand(50))


@pytest.mark.parametrize("pooling", ["scipy", "without scipy"])
@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("temperature", [1e-3, 0.1, 3.0])
def test_fused_and_defined_agree(
    regularization: Any, temperature: float, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pooling != "scipy":
        monkeypatch.setattr(cpu, "_scipy_regression", lambda: None)
    for n in (1, 2, 17, 100):
        x = torch.randn(3, n, dtype=torch.float64, requires_grad=True)
        mask, upstream = torch.rand(3, n) < 0.7, torch.randn(3, n, dtype=torch.float64)
        for call in (
            lambda x, mask, **options: ranks(x, mask, temperature, **options),
            lambda x, mask, **options: soft_sort(x, mask=mask, temperature=temperature, **options),
        ):
            found = []
            for backend in ("auto", "reference"):
                value = call(x, mask, regularization=regularization, backend=backend)
                found.append((value, torch.autograd.grad(value, x, upstream)[0]))
            assert_close(*found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_lists_longer_than_their_type_counts(dtype: torch.dtype) -> None:
    x = torch.randn(5000).to(dtype).requires_grad_()
    wide = x.detach().float().requires_grad_()
    for call in (lambda x: soft_ranks(x, 0.01), lambda x: soft_sort(x, temperature=1.0)):
        assert_close(call(x), call(wide))
        gradients = [torch.autograd.grad(call(each).sin().sum(), each)[0] for each in (x, wide)]
        assert_close(gradients[0], gradients[1].to(dtype))


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_nothing_overflows(regularization: Any) -> None:
    x = torch.tensor([4000.0, -4000.0, 0.0, *[1.0] * 20], requires_grad=True)
    found = soft_ranks(x, 1e-3, regularization=regularization)
    assert_close(found.detach(), torch.tensor([1.0, 23.0, 22.0, *[11.5] * 20]))
    assert torch.autograd.grad(found.square().sum(), x)[0].isfinite().all()
    ordered = soft_sort(x, temperature=1e-5, regularization=regularization)
    assert_close(ordered, x.sort(descending=True).values)
    assert torch.autograd.grad(ordered.square().sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_masks_nan_and_infinity(regularization: Any, backend: Any) -> None:
    x = torch.tensor([[1.0, float("nan"), 3.0, 2.0], [1.0, 5.0, float("nan"), 2.0], [1.0, float("inf"), 3.0, 0.0]])
    mask = torch.tensor([[True, False, True, True], [True, False, True, True], [True, True, True, False]])
    x.requires_grad_()
    nan = float("nan")
    ordered = soft_sort(x, temperature=1e-2, regularization=regularization, mask=mask, backend=backend)
    assert_close(ordered[0], torch.tensor([3.0, 2.0, 1.0, 0.0]))
    assert_close(ordered[1], torch.tensor([nan, nan, nan, 0.0]), equal_nan=True)
    found = ranks(x, mask, 1e-2, regularization=regularization, backend=backend)
    expected = torch.tensor([[3.0, 0.0, 1.0, 2.0], [nan, 0.0, nan, nan], [3.0, 1.0, 2.0, 0.0]])
    # The definition subtracts an infinite value from its block's mean, and loses the rank.
    rows = slice(0, 3 if backend == "auto" else 2)
    assert_close(found[rows], expected[rows], equal_nan=True)
    for result in (ordered, found):
        gradient = torch.autograd.grad(result.nansum(), x, retain_graph=True)[0]
        assert gradient.isfinite().all()
        assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (1,), (2, 1), (2, 0, 4)])
def test_small_lists(shape: tuple[int, ...], backend: Any) -> None:
    x = torch.randn(shape, requires_grad=True)
    value = soft_sort(x, temperature=1.0, backend=backend)
    assert_close(value, x)
    assert_close(torch.autograd.grad(value.sum(), x)[0], torch.ones(shape))
    assert_close(soft_ranks(x, 1.0, backend=backend), torch.ones(shape))


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_relative_temperature_follows_the_scale(regularization: Any) -> None:
    x = torch.randn(4, 20, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(4, 20) < 0.8

    def relative(x: Tensor) -> Tensor:
        return soft_sort(x, temperature=0.7, regularization=regularization, mask=mask, relative=True)

    assert_close(relative(5 * x), 5 * relative(x))
    assert torch.autograd.gradcheck(relative, x)
    even = torch.full((2, 3), 4.0, requires_grad=True)
    value = soft_sort(even, temperature=0.5, relative=True)
    assert_close(value, even)
    assert_close(torch.autograd.grad(value.sum(), even)[0], torch.ones(2, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature: expected a number above 0, got 0.0"),
        ({"temperature": 1.0, "method": "sigmoid"}, "method: expected one of \"isotonic\", .*, got 'sigmoid'"),
        ({"temperature": 1.0, "regularization": "l1"}, 'regularization: expected one of "l2", "kl"'),
        ({"temperature": 1.0, "mask": torch.ones(2).bool()}, r"mask: expected shape \[3\], got \[2\]"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft_sort(torch.ones(3), **options)


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="x: expected a floating-point tensor"):
        soft_sort(torch.tensor([2, 1]), temperature=1.0)


def test_module_holds_the_options() -> None:
    x, mask = torch.randn(2, 5), torch.rand(2, 5) < 0.7
    options: dict[str, Any] = {"temperature": 0.4, "regularization": "kl", "descending": False, "relative": True}
    assert_close(SoftSort(**options)(x, mask=mask), soft_sort(x, mask=mask, **options))
