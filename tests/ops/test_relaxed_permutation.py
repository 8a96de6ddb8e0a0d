"""Relaxed permutations: the definitions in float64, limits and laws, and the paths that hold no matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank
from rankgrad.ops.relaxed_permutation import apply, matrix, ranks, scans, sorted_values, tiles

METHODS: list[dict[str, Any]] = [{"method": "softsort"}, {"method": "softsort", "power": 2}, {"method": "neuralsort"}]
every_method = pytest.mark.parametrize("options", METHODS, ids=str)
every_path = pytest.mark.parametrize("backend", ["auto", "reference"])
transposed = pytest.mark.parametrize("transpose", [False, True], ids=["places", "items"])


def definition(x: Tensor, mask: Tensor, temperature: float, method: str, power: int = 1) -> Tensor:
    """The matrix of one list in float64, from the papers' formulas over its real items."""
    x = x.double()
    real = mask.nonzero().squeeze(1)
    items, count = x[real], len(real)
    result = x.new_zeros(len(x), len(x))
    if method == "softsort":
        logits = -((items.sort(descending=True).values[:, None] - items).abs() ** power)
    else:
        places = torch.arange(1, count + 1)
        logits = (count + 1 - 2 * places)[:, None] * items - (items[:, None] - items).abs().sum(dim=1)
    result[:count, real] = (logits / temperature).softmax(dim=1)
    return result


@pytest.fixture(params=["one block", "blocks of 4", "blocks of 4 in small tiles"])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut lists of a test's size as long ones are cut."""
    if request.param != "one block":
        monkeypatch.setattr(tiles, "_BLOCK", 4)
    if request.param.endswith("tiles"):
        monkeypatch.setattr(tiles, "_TILE_ELEMENTS", 40)
        monkeypatch.setattr(scans, "_ELEMENTS", 1)


def lists(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """With ties, garbage behind the mask, and a list without a real item."""
    x, mask = torch.randn(4, 23).to(dtype), torch.rand(4, 23) < 0.7
    x[:, -1], x[1, 5] = x[:, 0], x[1, 7]
    mask[1, [5, 7]], mask[2], mask[3] = True, False, True
    return x.masked_fill(~mask, float("nan")), mask


@every_method
@pytest.mark.parametrize("temperature", [0.02, 0.5, 300.0])
def test_matrix_is_the_definition(options: dict[str, Any], temperature: float) -> None:
    x, mask = lists(torch.float64)
    found = matrix(x, mask, temperature, **options)
    expected = [definition(*row, temperature, **options) for row in zip(x, mask, strict=True)]
    assert_close(found, torch.stack(expected), rtol=1e-9, atol=1e-9)
    places = torch.arange(23) < mask.sum(dim=1, keepdim=True)
    assert_close(found.sum(dim=-1), places.double())
    assert_close(matrix(x.float(), mask, temperature, **options), found.float(), rtol=1e-3, atol=1e-4)


@transposed
@every_method
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("temperature", [1e-3, 0.3, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_without_the_matrix(
    options: dict[str, Any], temperature: float, dtype: torch.dtype, transpose: bool
) -> None:
    x, mask = lists(dtype)
    values, upstream = torch.randn(2, 4, 23, 3).to(dtype)
    given = mask if not transpose else torch.arange(23) < mask.sum(dim=1, keepdim=True)
    values = values.masked_fill(~given.unsqueeze(-1), float("nan"))
    paths: list[tuple[torch.dtype, Any]] = [(dtype, "auto"), (torch.float64, "reference")]
    results = []
    for wide, backend in paths:
        first, second = operands = [operand.to(wide).requires_grad_() for operand in (x, values)]
        found = apply(first, second, mask, temperature, transpose=transpose, backend=backend, **options)
        results.append([found, *torch.autograd.grad(found, operands, upstream.to(wide))])
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    for found, expected in zip(*results, strict=True):
        assert found.dtype == dtype
        steepest = max(1.0, float(expected.detach().abs().max()))
        assert_close(found.double(), expected, rtol=tolerance, atol=tolerance * steepest)


@every_path
@every_method
def test_gradient_is_the_derivative(options: dict[str, Any], backend: Any) -> None:
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26], [5.0, 0.1, 7.0, -3.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True, True], [True, True, False, True]])
    values = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    options = {**options, "backend": backend}
    assert torch.autograd.gradcheck(lambda x: ranks(x, mask, 0.8, **options), x)
    assert torch.autograd.gradcheck(lambda x: sorted_values(x, mask, 0.8, **options), x)
    for transpose in (False, True):
        call = lambda x, values, way=transpose: apply(x, values, mask, 0.8, transpose=way, **options)  # noqa: E731
        assert torch.autograd.gradcheck(call, (x, values))


@every_path
@every_method
def test_ranks_and_sorted_values_are_products_with_the_matrix(options: dict[str, Any], backend: Any) -> None:
    x, mask = lists(torch.float64)
    weights = matrix(x, mask, 0.4, **options)
    places = torch.arange(1, 24).double()
    shares = weights.sum(dim=1)
    expected = (places @ weights / shares).masked_fill(~mask, 0.0)
    assert_close(ranks(x, mask, 0.4, backend=backend, **options), expected)
    expected = (weights @ x.masked_fill(~mask, 0.0).unsqueeze(-1)).squeeze(-1)
    assert_close(sorted_values(x, mask, 0.4, backend=backend, **options), expected)


@every_method
def test_a_far_offset_costs_no_digits(options: dict[str, Any]) -> None:
    """Multiples of 1/64, so that the shift is exact."""
    x = torch.randn(3, 40).mul(64).round().div(64)
    results = []
    for offset in (0, 4096):
        shifted = (x + offset).requires_grad_()
        found = sorted_values(shifted, None, 0.3, **options) - offset
        results.append((found, torch.autograd.grad(found.square().sum(), shifted)[0]))
    assert_close(results[1][0], results[0][0], rtol=0, atol=1e-3)
    assert_close(results[1][1], results[0][1], rtol=1e-3, atol=1e-2)


@every_path
@every_method
@settings(deadline=None, max_examples=20)
@given(integers=st.lists(st.integers(-50, 50), min_size=1, max_size=20, unique=True))
def test_towards_temperature_zero_it_sorts(options: dict[str, Any], backend: Any, integers: list[int]) -> None:
    x = torch.tensor(integers, dtype=torch.float32, requires_grad=True)
    temperature = 1 / 18
    found = ranks(x, None, temperature, backend=backend, **options)
    assert_close(found, hard_rank(x.detach()))
    assert_close(torch.autograd.grad(found.square().sum(), x)[0], torch.zeros_like(x), atol=1e-3, rtol=0)
    assert_close(sorted_values(x, None, temperature, backend=backend, **options), x.sort(descending=True).values)
    order = torch.nn.functional.one_hot(x.argsort(descending=True), len(x)).float()
    assert_close(matrix(x, None, temperature, **options), order)


@every_method
def test_towards_an_infinite_temperature_all_are_equal(options: dict[str, Any]) -> None:
    x = torch.randn(3, 30)
    for temperature in (1e9, 1e300):
        assert_close(sorted_values(x, None, temperature, **options), x.mean(dim=1, keepdim=True).expand_as(x))
        assert_close(ranks(x, None, temperature, **options), torch.full_like(x, 15.5))


@every_path
@every_method
@pytest.mark.parametrize("temperature", [1e-300, 0.01, 2.0])
def test_ties_share_their_rank(options: dict[str, Any], backend: Any, temperature: float) -> None:
    found = ranks(torch.tensor([1.0, 5.0, 1.0, 1.0]), None, temperature, backend=backend, **options)
    assert_close(found[[0, 2]], found[[3, 3]])
    if temperature < 1:
        assert_close(found, torch.tensor([3.0, 1.0, 3.0, 3.0]))


@every_method
def test_ranks_of_a_symmetric_list_sum_to_those_of_an_order(options: dict[str, Any]) -> None:
    x = torch.tensor([-3.0, -1.0, 1.0, 3.0, 4.0, -4.0])
    assert_close(ranks(x, None, 1.5, **options).sum(), torch.tensor(21.0))


@every_path
@every_method
def test_infinite_values_stand_beyond_finite_ones(options: dict[str, Any], backend: Any) -> None:
    inf = float("inf")
    x = torch.tensor([[1.0, -inf, 3.0, inf, -inf], [inf, inf, -inf, inf, inf]], requires_grad=True)
    found = ranks(x, None, 0.05, backend=backend, **options)
    assert_close(found, torch.tensor([[3.0, 4.5, 2.0, 1.0, 4.5], [2.5, 2.5, 5.0, 2.5, 2.5]]))
    values = sorted_values(x, None, 0.05, backend=backend, **options)
    assert_close(values[0, 1:3], torch.tensor([3.0, 1.0]))
    assert values.isfinite().all()
    gradient = torch.autograd.grad(found.square().sum() + values[0, 1:3].sum(), x)[0]
    assert_close(gradient[0], torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0]), atol=1e-4, rtol=0)
    assert not gradient[1].any()


@every_method
def test_an_outlier_costs_no_digits(options: dict[str, Any]) -> None:
    """One value of 1e30 has no weight for the others, who rank as without it."""
    x = torch.randn(2, 20)
    expected = ranks(x, None, 0.2, **options)
    found = ranks(torch.cat([x, torch.full((2, 1), -1e30)], dim=1), None, 0.2, **options)
    assert_close(found, torch.cat([expected, torch.full((2, 1), 21.0)], dim=1))


@every_path
@every_method
def test_nan_marks_the_real_items_of_its_list(options: dict[str, Any], backend: Any) -> None:
    nan = float("nan")
    x = torch.tensor([[1.0, nan, 2.0], [1.0, nan, 2.0], [3.0, 1.0, 2.0]])
    mask = torch.tensor([[True, True, False], [True, False, True], [True, True, True]])
    found = ranks(x, mask, 0.01, backend=backend, **options)
    assert_close(found, torch.tensor([[nan, nan, 0.0], [2.0, 0.0, 1.0], [1.0, 3.0, 2.0]]), equal_nan=True)
    found = sorted_values(x, mask, 0.01, backend=backend, **options)
    assert_close(found, torch.tensor([[nan, nan, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 1.0]]), equal_nan=True)
    ones = torch.ones(3, 3, 1)
    for transpose in (False, True):
        found = apply(x, ones, mask, 0.01, transpose=transpose, backend=backend, **options).squeeze(-1)
        inside = mask if transpose else mask.sort(dim=1, descending=True).values
        assert_close(found.isnan(), inside & (torch.arange(3) == 0)[:, None])
        assert_close(found[1:], inside[1:].float())
    inside = torch.tensor([[True, True, False], [True, True, False], [False, False, False]])
    assert_close(matrix(x, mask, 0.01, **options)[0].isnan(), inside)


@every_path
@every_method
@pytest.mark.parametrize("shape", [(0,), (0, 5), (2, 0), (1,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shapes_and_types(options: dict[str, Any], backend: Any, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape).to(dtype).requires_grad_()
    values = torch.randn(*shape, 2).to(dtype)
    for function in (ranks, sorted_values):
        found = function(x, None, 0.5, backend=backend, **options)
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, dtype)
        assert_close(found, function(x.float(), None, 0.5, backend=backend, **options))
        meta = function(x.to("meta"), None, 0.5, backend=backend, **options)
        assert (meta.shape, meta.dtype) == (found.shape, found.dtype)
    for transpose in (False, True):
        found = apply(x, values, None, 0.5, transpose=transpose, backend=backend, **options)
        assert (found.shape, found.dtype) == (values.shape, torch.float32)


@every_method
def test_no_n_by_n_tensor_forward_or_backward(options: dict[str, Any], operators: Callable[[], Any]) -> None:
    x = torch.randn(2000, requires_grad=True)
    with operators() as seen:
        found = ranks(x, None, 0.1, **options) + sorted_values(x, None, 0.1, **options)
        found.square().sum().backward()
    assert seen.largest <= tiles._TILE_ELEMENTS < x.numel() ** 2


@transposed
@every_method
def test_long_lists_have_narrow_tiles(options: dict[str, Any], transpose: bool) -> None:
    x, values = torch.randn(2, 700), torch.randn(2, 700, 1)
    expected = apply(x.double(), values.double(), None, 0.05, transpose=transpose, backend="reference", **options)
    found = apply(x, values, None, 0.05, transpose=transpose, **options)
    assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_pairs_without_weight_are_skipped(operators: Callable[[], Any]) -> None:
    """At a low temperature a block meets itself and its neighbours."""
    x = torch.arange(2048.0)
    for square in (False, True):
        with operators() as seen:
            tiles.multiply(-x[None], x[None, None], 0.5, square=square, transpose=False, moments=False)
        assert seen.largest <= 64 * (64 + 2 * 64)


@every_method
@pytest.mark.usefixtures("nan_filled_memory")
def test_results_repeat_bit_for_bit_and_everything_is_written(options: dict[str, Any]) -> None:
    x, mask = torch.randn(5, 83, requires_grad=True), torch.rand(5, 83) < 0.9
    runs = []
    for _ in range(2):
        found = ranks(x, mask, 0.4, **options) + sorted_values(x, mask, 0.4, **options)
        runs.append([found, torch.autograd.grad(found.square().sum(), x)[0]])
    assert all(torch.equal(*pair) and pair[0].isfinite().all() for pair in zip(*runs, strict=True))


@every_method
def test_strides_do_not_matter(options: dict[str, Any]) -> None:
    x, mask, values = torch.randn(20, 6).T, (torch.rand(20, 6) < 0.8).T, torch.randn(3, 20, 6).permute(2, 1, 0)
    expected = apply(x.contiguous(), values.contiguous(), mask.contiguous(), 0.4, **options)
    assert_close(apply(x, values, mask, 0.4, **options), expected)


@every_path
@every_method
def test_autocast_does_not_lower_the_precision(options: dict[str, Any], backend: Any) -> None:
    x = torch.randn(2, 30, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sorted_values(x, None, 0.2, backend=backend, **options)
    expected = sorted_values(x, None, 0.2, backend=backend, **options)
    assert_close(found, expected)
    assert_close(*(torch.autograd.grad(result.sum(), x)[0] for result in (found, expected)))


@pytest.mark.parametrize(("method", "power"), [("softsort", 3), ("neuralsort", 2)])
def test_other_powers_are_refused(method: Any, power: int) -> None:
    x = torch.ones(3)
    for call in (ranks, sorted_values, matrix, lambda x, *rest, **options: apply(x, x[:, None], *rest, **options)):
        with pytest.raises(InputError, match=f'power: expected 1, or 2 with method="softsort", got {power}'):
            call(x, None, 1.0, method=method, power=power)
