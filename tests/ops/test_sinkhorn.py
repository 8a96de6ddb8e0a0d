"""Sorting by optimal transport: the definition, the laws of plans, and every implementation against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import sinkhorn
from rankgrad.ops.sinkhorn import cpu, library
from rankgrad.ops.sinkhorn.problem import transport_problem

BACKENDS = ["auto", "reference", "triton"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NAN, INF = float("nan"), float("inf")


def defined(x: Any, temperature: float, iterations: int) -> Any:
    """NeuralSort's logits, rows and columns normalised in turn, for one list in float64."""
    x = np.asarray(x, dtype=np.float64)
    n = len(x)
    places = n + 1 - 2 * np.arange(1, n + 1)
    logits = (places[:, None] * x - np.abs(x[:, None] - x).sum(axis=1)) / temperature
    logits = log_softmax(logits, axis=1)
    for _ in range(iterations):
        logits = log_softmax(log_softmax(logits, axis=0), axis=1)
    return np.exp(logits)


@every_backend
@pytest.mark.parametrize(("n", "temperature"), [(1, 1.0), (2, 0.5), (40, 0.02), (7, 0.5), (40, 20.0)])
def test_definition(backend: Any, n: int, temperature: float) -> None:
    x, values, iterations = torch.randn(2, n), torch.randn(2, n, 3), 2
    plan = torch.tensor(np.stack([defined(row, temperature, iterations) for row in x])).float()
    options = {"iterations": iterations, "backend": backend}
    near: dict[str, Any] = {"rtol": 1e-5, "atol": 2e-6}
    x, values, plan = (tensor.to(DEVICE) for tensor in (x, values, plan))
    assert_close(sinkhorn.matrix(x, None, temperature, **options), plan, **near)
    assert_close(sinkhorn.apply(x, values, None, temperature, **options), plan @ values, **near)
    found = sinkhorn.apply(x, values, None, temperature, transpose=True, **options)
    assert_close(found, plan.mT @ values, **near)
    assert_close(sinkhorn.sorted_values(x, None, temperature, **options), (plan @ x.unsqueeze(-1)).squeeze(-1), **near)
    ranks = sinkhorn.ranks(x, None, temperature, **options)
    assert_close(ranks, torch.arange(1.0, n + 1, device=DEVICE) @ plan, rtol=1e-5, atol=1e-5)


@every_backend
@pytest.mark.parametrize(("width", "transpose"), [(1, False), (1, True), (2, True), (3, False), (9, False), (70, True)])
def test_gradients_agree_with_float64(backend: Any, width: int, transpose: bool) -> None:
    x, mask = torch.randn(3, 35), torch.rand(3, 35) < 0.8
    values, upstream = torch.randn(3, 35, width), torch.randn(3, 35, width)
    kept = mask if transpose else torch.arange(35) < mask.sum(dim=-1, keepdim=True)
    upstream[~kept] = NAN

    def gradients(dtype: torch.dtype, backend: Any) -> list[Tensor]:
        inputs = (x.to(DEVICE, dtype).requires_grad_(), values.to(DEVICE, dtype).requires_grad_())
        options = {"transpose": transpose, "iterations": 1, "backend": backend}
        result = sinkhorn.apply(*inputs, mask.to(DEVICE), 0.4, **options)
        return [result.detach(), *torch.autograd.grad(result, inputs, upstream.to(DEVICE, dtype))]

    found, expected = gradients(torch.float32, backend), gradients(torch.float64, "reference")
    for one, other in zip(found, expected, strict=True):
        assert_close(one.double(), other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("tolerance", [None, 0.2])
def test_gradients_are_the_derivatives(backend: Any, tolerance: float | None) -> None:
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26, 1.1], [5.0, 0.1, 7.0, -3.0, 5.2]], dtype=torch.float64).requires_grad_()
    values = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, False, True, True]])
    options = {"iterations": 2, "tolerance": tolerance, "backend": backend}
    for transpose in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, v, t=transpose: sinkhorn.apply(x, v, mask, 0.8, transpose=t, **options), (x, values)
        )
    assert torch.autograd.gradcheck(lambda x: sinkhorn.matrix(x, mask, 0.8, **options), x)


def test_many_iterations_solve_the_transport() -> None:
    """The plan of least squared distance less entropy, from scales of ones, as Cuturi's algorithm finds it."""
    x, temperature = np.array([0.3, -1.0, 2.0, 0.26, 1.1]), 0.7
    kernel = np.exp(-((x / temperature - np.arange(2, -3, -1)[:, None]) ** 2))
    rows = columns = np.ones(5)
    for _ in range(3000):
        columns = 1 / (rows @ kernel)
        rows = 1 / (kernel @ columns)
    expected = torch.tensor(rows[:, None] * kernel * columns)
    plan = sinkhorn.matrix(torch.tensor(x), None, temperature, iterations=500)
    assert_close(plan, expected)
    assert_close(plan.sum(dim=0), torch.ones(5, dtype=torch.float64))


def test_two_items_share_places_by_a_sigmoid() -> None:
    x = torch.randn(6, 2)
    expected = 1 + ((x.flip(-1) - x) / 0.3).sigmoid()
    assert_close(sinkhorn.ranks(x, None, 0.3), expected)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20), st.floats(0.05, 10), st.integers(0, 3))
def test_laws_of_plans(values: list[float], temperature: float, iterations: int) -> None:
    x, n = torch.tensor(values, dtype=torch.float64), len(values)
    options: dict[str, Any] = {"iterations": iterations}
    plan = sinkhorn.matrix(x, None, temperature, **options)
    assert_close(plan.sum(dim=1), torch.ones_like(x))
    ranks = sinkhorn.ranks(x, None, temperature, **options)
    assert float(ranks.sum()) == pytest.approx(n * (n + 1) / 2)
    order = torch.randperm(n)
    assert_close(sinkhorn.ranks(x[order], None, temperature, **options), ranks[order], rtol=1e-6, atol=1e-6)
    scaled = sinkhorn.matrix(3 * x + 5, None, 3 * temperature, **options)
    assert_close(scaled, plan, rtol=1e-6, atol=1e-6)


@every_backend
def test_low_temperatures_sort(backend: Any) -> None:
    x = torch.randperm(40, device=DEVICE).float()
    for iterations in (0, 2):
        options = {"iterations": iterations, "backend": backend}
        assert_close(sinkhorn.sorted_values(x, None, 1 / 18, **options), torch.arange(39.0, -1, -1, device=DEVICE))
        assert_close(sinkhorn.ranks(x, None, 1 / 18, **options), 40 - x)


@every_backend
def test_equal_items_share_and_pull_alike(backend: Any) -> None:
    x = torch.tensor([1.0, 5.0, 1.0, 1.0], device=DEVICE, requires_grad=True)
    ranks = sinkhorn.ranks(x, None, 0.01, iterations=2, backend=backend)
    assert_close(ranks, torch.tensor([3.0, 1.0, 3.0, 3.0], device=DEVICE))
    plan = sinkhorn.matrix(x, None, 0.5, iterations=1, backend=backend)
    (gradient,) = torch.autograd.grad(plan[0].square().sum(), x)
    assert_close(gradient[[0, 0, 2]], gradient[[2, 3, 3]])


@every_backend
def test_masked_items_are_not_there(backend: Any) -> None:
    x, mask = torch.randn(3, 11, device=DEVICE), torch.rand(3, 11, device=DEVICE) < 0.6
    mask[2] = False
    garbage = torch.tensor([NAN, INF, 1e9, -INF] * 9, device=DEVICE)[:33].view(3, 11)
    given_x = torch.where(mask, x, garbage).requires_grad_()
    options = {"iterations": 1, "backend": backend}
    results = [function(given_x, mask, 0.5, **options) for function in (sinkhorn.ranks, sinkhorn.sorted_values)]
    plan = sinkhorn.matrix(given_x, mask, 0.5, **options)
    for row in range(3):
        real, m = x[row][mask[row]], int(mask[row].sum())
        assert_close(results[0][row][mask[row]], sinkhorn.ranks(real, None, 0.5, **options))
        assert_close(results[1][row, :m], sinkhorn.sorted_values(real, None, 0.5, **options))
        assert_close(plan[row, :m][:, mask[row]], sinkhorn.matrix(real, None, 0.5, **options))
        assert (results[1][row, m:] == 0).all()
    assert (results[0][~mask] == 0).all()
    assert float(plan.detach().sum()) == pytest.approx(int(mask.sum()), rel=1e-5)
    total = sum((result * torch.randn_like(result)).sum() for result in (*results, plan))
    (gradient,) = torch.autograd.grad(torch.as_tensor(total), given_x)
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()


@every_backend
def test_infinite_huge_and_unknown_values(backend: Any) -> None:
    x = torch.tensor([[1.0, -INF, 3.0, INF, -INF, 1e30], [1.0, 2.0, NAN, 4.0, 5.0, 6.0]], device=DEVICE)
    x.requires_grad_()
    mask = torch.tensor([[True] * 6, [True, True, True, False, True, True]], device=DEVICE)
    ranks = sinkhorn.ranks(x, mask, 0.05, iterations=2, backend=backend)
    expected = torch.tensor([[4.0, 5.5, 3.0, 1.0, 5.5, 2.0], [NAN, NAN, NAN, 0.0, NAN, NAN]], device=DEVICE)
    assert_close(ranks, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(ranks[0].square().sum(), x)
    assert gradient[0].isfinite().all()
    assert (gradient[0, [1, 3, 4]] == 0).all()
    ordered = sinkhorn.sorted_values(x, mask, 0.05, iterations=1, backend=backend)
    assert_close(ordered[0, 1:4], torch.tensor([1e30, 3.0, 1.0], device=DEVICE))
    assert ordered[1, :5].isnan().all()


@pytest.mark.parametrize("temperature", [1e-40, 1e40])
def test_temperatures_beyond_float32(temperature: float) -> None:
    expected = torch.tensor([4.0, 1.0, 2.5, 2.5]) if temperature < 1 else torch.full((4,), 2.5)
    assert_close(sinkhorn.ranks(torch.tensor([1.0, 3.0, 2.0, 2.0]), None, temperature), expected)


@every_backend
def test_a_list_stops_by_itself(backend: Any) -> None:
    """One list needs iterations, the other none; each is as if it were alone."""
    x = torch.stack([torch.randn(12), torch.arange(12.0) * 100]).to(DEVICE)
    options = {"tolerance": 0.03, "backend": backend}
    together = sinkhorn.matrix(x, None, 1.0, iterations=60, **options)
    counts = [k for k in range(60) if (defined(x[0].cpu(), 1.0, k).sum(axis=0) - 1).__abs__().max() <= 0.03]
    assert_close(together[0].cpu(), torch.tensor(defined(x[0].cpu(), 1.0, counts[0])).float(), rtol=1e-4, atol=1e-5)
    assert_close(together[1], torch.eye(12, device=DEVICE).flip(-1))
    assert_close(sinkhorn.matrix(x[0], None, 1.0, iterations=60, **options), together[0])


@every_backend
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 0, 4)])
def test_nothing_to_sort(backend: Any, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float16, device=DEVICE, requires_grad=True)
    for function in (sinkhorn.ranks, sinkhorn.sorted_values):
        result = function(x, None, 1.0, iterations=2, backend=backend)
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert (result.shape, result.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)
    assert sinkhorn.matrix(x, None, 1.0, backend=backend).shape == (*shape, shape[-1])


def test_no_n_by_n_tensor_forward_or_backward(operators: Callable[[], Any]) -> None:
    x = torch.randn(2000, requires_grad=True)
    with operators() as seen:
        sinkhorn.ranks(x, None, 0.1, iterations=1).square().sum().backward()
    assert seen.largest <= 2 * cpu._TILE_ELEMENTS < x.numel() ** 2


def test_far_from_the_diagonal_nothing_is_looked_at() -> None:
    problem = transport_problem(torch.randperm(1000).float()[None], None, 1.0)
    vectors = (problem.places, problem.points, -problem.columns, problem.columns - problem.places * problem.points)
    tiles = list(cpu._tiles(*vectors, torch.float32))
    assert 1000 <= sum(tile.numel() for *_, tile in tiles) < 1000**2 / 10


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
@pytest.mark.parametrize("transpose", [True, False])
def test_operators_pass_torchs_checks(triton: bool, transpose: bool) -> None:
    points = (-torch.rand(2, 6, device=DEVICE, dtype=torch.float64)).cumsum(dim=-1)
    places = torch.arange(5.0, -6, -2, device=DEVICE).double().expand(2, 6).contiguous()
    shifts = [torch.rand(2, 6, device=DEVICE, dtype=torch.float64).sub(1).requires_grad_() for _ in range(2)]
    weights = torch.randn(2, 6, 3, device=DEVICE, requires_grad=True)
    inputs = (places, points.requires_grad_(), *shifts, weights)
    torch.library.opcheck(library.product_op, (*inputs, transpose, triton))
    torch.library.opcheck(library.moments_op, (*(tensor.detach() for tensor in inputs), triton))


@every_backend
def test_compiles_in_one_graph_and_repeats_bit_for_bit(backend: Any) -> None:
    torch.compiler.reset()
    x, mask = torch.randn(2, 6, device=DEVICE, requires_grad=True), torch.rand(2, 6, device=DEVICE) < 0.8

    def loss(x: Tensor) -> Tensor:
        return sinkhorn.ranks(x, mask, 0.4, iterations=1, tolerance=0.02, backend=backend).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = [[value, *torch.autograd.grad(value, x)] for value in (compiled(x), loss(x), loss(x))]
    assert_close(results[0], results[1])
    assert torch.equal(results[1][1], results[2][1])
    assert_close(loss(x.detach().T.contiguous().T), loss(x))
    far = sinkhorn.ranks(x.detach().to("meta"), mask.to("meta"), 0.4, backend=backend)
    assert (far.shape, far.dtype) == (x.shape, torch.float32)


def test_export_holds_plain_operators() -> None:
    class Ranks(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return sinkhorn.ranks(x, None, 0.4, iterations=2)

    axes = {0: torch.export.Dim("lists"), 1: torch.export.Dim("items", min=2)}
    exported = torch.export.export(Ranks(), (torch.randn(3, 7),), dynamic_shapes=(axes,))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    x = torch.randn(5, 11)
    assert_close(exported.module()(x), sinkhorn.ranks(x, None, 0.4, iterations=2))


def test_what_does_not_fit_is_named() -> None:
    x = torch.ones(3)
    with pytest.raises(InputError, match=r"iterations: expected a number of at least 0, got -1"):
        sinkhorn.ranks(x, None, 1.0, iterations=-1)
    with pytest.raises(InputError, match=r"tolerance: expected a number above 0, got 0.0"):
        sinkhorn.ranks(x, None, 1.0, tolerance=0.0)
    with pytest.raises(InputError, match=r'backend: "triton" cannot run: .*accumulate in float32'):
        sinkhorn.ranks(x.double(), None, 1.0, backend="triton")
