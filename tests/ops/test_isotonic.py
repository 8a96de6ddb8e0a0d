"""Isotonic regression against other libraries and its formulas, whichever way its blocks are found."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import isotonic_regression
from rankgrad.ops.isotonic import cpu, pooling, tree

SIZES = [1, 2, 3, 16, 17, 33, 100, 1000]
OPTIONS = list(itertools.product([True, False], ["l2", "kl"]))


@pytest.fixture(params=["scipy", "without scipy"])
def _pooling(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "scipy":
        pytest.importorskip("scipy")
    else:
        monkeypatch.setattr(cpu, "_scipy_regression", lambda: None)


def by_scipy(y: Tensor, weights: Tensor | None, *, increasing: bool, regularization: str) -> Tensor:
    """Row by row; the logarithm of a mean of exponentials is that of scipy's mean."""
    regression = pytest.importorskip("scipy.optimize").isotonic_regression
    values = y.exp() if regularization == "kl" else y
    every = torch.ones_like(y) if weights is None else weights
    rows = [
        torch.from_numpy(regression(row.numpy(), weights=weight.numpy(), increasing=increasing).x.copy())
        for row, weight in zip(values, every, strict=True)
    ]
    return torch.stack(rows).log() if regularization == "kl" else torch.stack(rows)


@pytest.mark.usefixtures("_pooling")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("increasing", "regularization"), OPTIONS)
def test_agrees_with_scipy(increasing: bool, regularization: Any, weighted: bool) -> None:
    for n in SIZES:
        y = torch.randn(4, n, dtype=torch.float64)
        weights = torch.rand(4, n, dtype=torch.float64) + 0.1 if weighted else None
        options: dict[str, Any] = {"increasing": increasing, "regularization": regularization}
        assert_close(isotonic_regression(y, weights, **options), by_scipy(y, weights, **options))


def test_agrees_with_scikit_learn() -> None:
    regression = pytest.importorskip("sklearn.isotonic").isotonic_regression
    y, weights = torch.randn(200, dtype=torch.float64), torch.rand(200, dtype=torch.float64) + 0.1
    for increasing in (True, False):
        expected = regression(y.numpy(), sample_weight=weights.numpy(), increasing=increasing)
        assert_close(isotonic_regression(y, weights, increasing=increasing), torch.from_numpy(expected.copy()))


@pytest.mark.usefixtures("_pooling")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("increasing", "regularization"), OPTIONS)
def test_agrees_with_the_definition_in_value_and_gradient(
    increasing: bool, regularization: Any, weighted: bool
) -> None:
    for n in (1, 2, 7, 40):
        leaves = [torch.randn(2, 3, n, dtype=torch.float64), torch.rand(2, 3, n, dtype=torch.float64) + 0.1]
        leaves = [leaf.requires_grad_() for leaf in leaves[: 1 + weighted]]
        mask, upstream = torch.rand(2, 3, n) < 0.7, torch.randn(2, 3, n, dtype=torch.float64)
        found = []
        for backend in ("auto", "reference"):
            value = isotonic_regression(
                *leaves, increasing=increasing, regularization=regularization, mask=mask, backend=backend
            )
            found.append([value, *torch.autograd.grad(value, leaves, upstream)])
        assert_close(*found)


@pytest.mark.parametrize("regularization", ["l2", "kl"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_gradient_is_the_derivative(regularization: Any, backend: Any) -> None:
    y = torch.randn(3, 20, dtype=torch.float64, requires_grad=True)
    weights = (torch.rand(3, 20, dtype=torch.float64) + 0.5).requires_grad_()

    def regression(y: Tensor, weights: Tensor) -> Tensor:
        return isotonic_regression(y, weights, regularization=regularization, backend=backend)

    assert torch.autograd.gradcheck(regression, (y, weights))


def test_gradient_is_shared_by_the_block() -> None:
    y = torch.tensor([1.0, 4.0, 2.0, 3.0, 9.0], requires_grad=True)
    value = isotonic_regression(y)
    assert_close(value.detach(), torch.tensor([1.0, 3.0, 3.0, 3.0, 9.0]))
    gradient = torch.autograd.grad(value, y, torch.tensor([1.0, 2.0, 3.0, 7.0, 5.0]))[0]
    assert_close(gradient, torch.tensor([1.0, 4.0, 4.0, 4.0, 5.0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_lists_longer_than_their_type_counts(dtype: torch.dtype) -> None:
    """Half precision counts to 2048: places are kept as integers."""
    y = torch.randn(5000).to(dtype).requires_grad_()
    value = isotonic_regression(y)
    upstream = torch.linspace(-1, 2, 5000)
    wide = y.detach().float().requires_grad_()
    expected = isotonic_regression(wide)
    assert value.dtype == torch.float32
    assert_close(value, expected)
    gradients = (torch.autograd.grad(each, leaf, upstream)[0] for each, leaf in ((value, y), (expected, wide)))
    first, second = gradients
    assert_close(first, second.to(dtype))


@pytest.mark.usefixtures("_pooling")
def test_blocks_closer_than_a_billionth_stay_apart() -> None:
    y = (torch.arange(40, dtype=torch.float64) * 1e-13).requires_grad_()
    upstream = torch.randn(40, dtype=torch.float64)
    assert_close(torch.autograd.grad(isotonic_regression(y), y, upstream)[0], upstream, rtol=0, atol=0)


@pytest.mark.usefixtures("_pooling")
def test_exponentials_do_not_overflow() -> None:
    """Blocks of logarithms thousands apart: the largest alone counts, less log 2 for the mean of two."""
    y = torch.tensor([5000.0, 0.0, 7000.0, 9000.0, 8000.0, *range(10000, 10020)], dtype=torch.float64)
    value = isotonic_regression(y.requires_grad_(), regularization="kl")
    pair = torch.tensor([5000.0, 5000.0, 7000.0, 9000.0, 9000.0], dtype=torch.float64)
    pair[[0, 1, 3, 4]] -= torch.tensor(2.0, dtype=torch.float64).log()
    assert_close(value[:5].detach(), pair)
    assert_close(torch.autograd.grad(value.sum(), y)[0][:5], torch.tensor([2.0, 0.0, 1.0, 2.0, 0.0]).double())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40))
def test_laws(values: list[float]) -> None:
    """It rises, keeps the sum, is its own projection, and commutes with scaling and with turning the list around."""
    y = torch.tensor(values, dtype=torch.float64)
    value = isotonic_regression(y)
    assert (value.diff() >= -1e-9).all()
    assert_close(value.sum(), y.sum())
    assert_close(isotonic_regression(value), value)
    assert_close(isotonic_regression(3 * y + 1), 3 * value + 1)
    assert_close(-isotonic_regression(-y.flip(0)).flip(0), value)


def test_the_hardest_orders() -> None:
    """A falling list is one block, a rising one as many as items, and one high value is pooled item by item."""
    n = 777
    rising = torch.arange(n, dtype=torch.float64)
    for pooled in (tree.blocks, cpu.blocks):
        alone = pooled(rising[None], None, logarithmic=False)
        assert_close(alone[0, 0], torch.arange(n, dtype=torch.int32))
        whole = pooled(-rising[None], None, logarithmic=False)
        assert whole[0].eq(0).all()
        assert whole[1].eq(n).all()
        high = rising.clone()
        high[0] = 300.0**2
        first, end = pooled(high[None], None, logarithmic=False)[:, 0]
        # The mean of the first k, (90000 + k (k - 1) / 2) / k, is least where it meets the next, k: k (k + 1) / 2.
        k = next(k for k in range(1, n) if 90000 + k * (k - 1) / 2 < k * k)
        assert (int(first[k - 1]), int(end[0])) == (0, k)


def pooled_list_by_list(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool) -> Tensor:
    """Blocks by scipy, a list at a time."""
    regression = pytest.importorskip("scipy.optimize").isotonic_regression
    result = torch.stack([torch.arange(numerators.shape[-1]), torch.arange(1, numerators.shape[-1] + 1)])
    result = result.int()[:, None].repeat(1, len(numerators), 1)
    every = torch.full_like(numerators, 0.0 if logarithmic else 1.0) if weights is None else weights
    for row, (numerator, weight) in enumerate(zip(numerators, every, strict=True)):
        real = numerator.isfinite()
        level = (numerator - weight).exp() if logarithmic else numerator / weight
        if real.any():
            found = regression(level[real].numpy(), weights=(weight.exp() if logarithmic else weight)[real].numpy())
            for start, end in itertools.pairwise(found.blocks.tolist()):
                result[0, row, start:end], result[1, row, start:end] = start, end
    return result


@pytest.mark.parametrize("a_call", [None, 7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_lists_that_share_a_call_stay_apart(
    logarithmic: bool, weighted: bool, a_call: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of any slope, height, spread and length; also where a call takes few segments."""
    pytest.importorskip("scipy")
    if a_call is not None:
        monkeypatch.setattr(pooling, "_ITEMS", 12 * a_call)
        monkeypatch.setattr(pooling, "_COVERED", float(a_call))
    slope = torch.linspace(-2, 2, 60, dtype=torch.float64)[:, None] * torch.arange(30)
    levels = torch.randn(60, 30, dtype=torch.float64) + slope.roll(17, 0)
    if not weighted:
        levels[::3, 1::2] = levels[::3, ::2]
    if not logarithmic:
        levels[5] *= 1e30
        levels[7, 4] = 1e12
        levels[8, 20] = -1e12
        levels[9] *= 1e-30
    weights = torch.rand(60, 30, dtype=torch.float64) + 0.1 if weighted else None
    numerators = levels if weights is None else levels + weights if logarithmic else levels * weights
    numerators[torch.arange(30) >= torch.arange(60)[:, None]] = float("inf")
    expected = pooled_list_by_list(numerators, weights, logarithmic=logarithmic)
    assert_close(cpu.blocks(numerators, weights, logarithmic=logarithmic), expected)


def test_sums_that_would_overflow_are_merged() -> None:
    y = torch.tensor([[3e307, 5e307, 4e307, 6e307, 2e307]], dtype=torch.float64)
    assert_close(cpu.blocks(y, None, logarithmic=False), tree.blocks(y, None, logarithmic=False))


def test_sorting_on_a_cpu_is_stable() -> None:
    """Among equals by place, -0 and 0 too, in both directions and whatever the sign."""
    x = torch.randn(5, 200).mul(2).round()
    x[:, ::7] *= 0.0
    x[0, 3], x[1, 4] = float("inf"), float("-inf")
    for each, descending in itertools.product((x, x.double()), (False, True)):
        values, places = cpu.sort(each.numpy(), descending=descending)
        expected = (each + 0.0).sort(dim=-1, descending=descending, stable=True)
        assert_close(torch.from_numpy(values), expected.values.double())
        assert_close(torch.from_numpy(places), expected.indices + torch.arange(0, 1000, 200)[:, None])


def test_masks_leave_items_out() -> None:
    y = torch.tensor([2.0, float("nan"), 1.0, 9.0, float("inf"), 3.0])
    mask = torch.tensor([True, False, True, False, False, True])
    assert_close(isotonic_regression(y, mask=mask), torch.tensor([1.5, 0.0, 1.5, 0.0, 0.0, 3.0]))
    falling = isotonic_regression(y, mask=mask, increasing=False)
    assert_close(falling, torch.tensor([2.0, 0.0, 2.0, 0.0, 0.0, 2.0]))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 4), (1,), (2, 1)])
def test_lists_with_nothing_to_order(shape: tuple[int, ...], backend: Any) -> None:
    y = torch.randn(shape, requires_grad=True)
    value = isotonic_regression(y, torch.ones(shape), backend=backend)
    assert_close(value, y)
    assert_close(torch.autograd.grad(value.sum(), y)[0], torch.ones(shape))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0])
def test_a_list_that_has_no_regression_is_nan(bad: float) -> None:
    y, weights = torch.randn(3, 4), torch.ones(3, 4)
    weights[1, 2] = bad
    clean = isotonic_regression(y)
    value = isotonic_regression(y.requires_grad_(), weights)
    assert value[1].isnan().all()
    assert_close(value[[0, 2]], clean[[0, 2]])
    assert torch.autograd.grad(value.sum(), y)[0].isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": torch.ones(3)}, r"weights: expected the shape of y \[2, 3\], got \[3\]; use .expand_as\(y\)"),
        ({"regularization": "l1"}, 'regularization: expected "l2" or "kl", got \'l1\''),
        ({"mask": torch.ones(3).bool()}, r"mask: expected shape \[2, 3\]"),
        ({"backend": "scipy"}, 'backend: expected "auto"'),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        isotonic_regression(torch.ones(2, 3), **options)


def test_integers_are_refused() -> None:
    with pytest.raises(TypeError, match="y: expected a floating-point tensor"):
        isotonic_regression(torch.tensor([2, 1]))
