"""Sorting networks: the definition, the laws of networks, and every implementation against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import sorting_network
from rankgrad.ops.sorting_network.distributions import DISTRIBUTIONS, cumulative, density
from rankgrad.ops.sorting_network.wiring import wiring

# The interpreter says when an exponential becomes infinite, as it should where a sigmoid is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NAN, INF = float("nan"), float("inf")
BACKENDS = ["auto", "reference", "triton"]
FUNCTIONS: dict[str, Callable[[float], float]] = {
    "logistic": lambda v: 1 / (1 + math.exp(-v)),
    "cauchy": lambda v: math.atan(v) / math.pi + 0.5,
    "gaussian": lambda v: 0.5 * math.erfc(-v / math.sqrt(2)),
    "optimal": lambda v: -1 / (16 * v) if v < -0.25 else 1 - 1 / (16 * v) if v > 0.25 else v + 0.5,
}
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_network = pytest.mark.parametrize("network", ["bitonic", "odd_even"])
every_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS)


def comparators(network: str, n: int) -> list[list[tuple[int, int]]]:
    """Pairs of wires, layer by layer, by the recursion: sort two halves, then merge them end to end."""
    if network == "odd_even":
        return [[(i, i + 1) for i in range(layer % 2, n - 1, 2)] for layer in range(n)]
    layers, size = [], 2
    while size < 2 * n:
        blocks = range(0, size * n, size)
        layers.append([(first + i, first + size - 1 - i) for first in blocks for i in range(size // 2)])
        half = size // 4
        while half:
            layers.append([(i, i + half) for i in range(n) if i % (2 * half) < half])
            half //= 2
        size *= 2
    kept = [[(upper, lower) for upper, lower in layer if lower < n] for layer in layers]
    return [layer for layer in kept if layer]


def defined(x: list[float], temperature: float, network: str, distribution: str) -> Tensor:
    """The product of the layers' matrices, in float64."""
    matrix, now = torch.eye(len(x), dtype=torch.float64), list(x)
    for layer in comparators(network, len(x)):
        step = torch.eye(len(x), dtype=torch.float64)
        for upper, lower in layer:
            share = FUNCTIONS[distribution]((now[upper] - now[lower]) / temperature)
            step[upper, upper] = step[lower, lower] = share
            step[upper, lower] = step[lower, upper] = 1 - share
        now = (step @ torch.tensor(now, dtype=torch.float64)).tolist()
        matrix = step @ matrix
    return matrix


@every_backend
@every_network
@every_distribution
def test_definition(backend: Any, network: Any, distribution: Any) -> None:
    options = {"network": network, "distribution": distribution, "backend": backend}
    for n in (1, 7):
        x, values = torch.randn(2, n), torch.randn(2, n, 2)
        matrix = torch.stack([defined(row, 0.4, network, distribution) for row in x.tolist()]).float().to(DEVICE)
        x, values = x.to(DEVICE), values.to(DEVICE)
        assert_close(sorting_network.matrix(x, None, 0.4, **options), matrix, rtol=1e-5, atol=1e-6)
        sorted_values = sorting_network.sorted_values(x, None, 0.4, **options)
        assert_close(sorted_values, (matrix @ x.unsqueeze(-1)).squeeze(-1), rtol=1e-5, atol=2e-6)
        assert_close(sorting_network.apply(x, values, None, 0.4, **options), matrix @ values, rtol=1e-5, atol=2e-6)
        back = sorting_network.apply(x, values, None, 0.4, transpose=True, **options)
        assert_close(back, matrix.mT @ values, rtol=1e-5, atol=2e-6)
        ranks = sorting_network.ranks(x, None, 0.4, **options)
        assert_close(ranks, torch.arange(1.0, n + 1, device=DEVICE) @ matrix, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("network", ["bitonic", "odd_even"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 13])
def test_wiring_is_the_recursion(network: Any, n: int) -> None:
    partner, _ = wiring(network, n, torch.device("cpu"))
    found = [[(i, j) for i, j in enumerate(layer) if i < j] for layer in partner.tolist()]
    assert [layer for layer in found if layer] == [sorted(layer) for layer in comparators(network, n) if layer]


@pytest.mark.parametrize("network", ["bitonic", "odd_even"])
def test_every_list_of_zeros_and_ones_is_sorted(network: Any) -> None:
    """Knuth's 0-1 principle: then every list is."""
    x = (torch.arange(1 << 9).unsqueeze(1) >> torch.arange(9) & 1).float()
    expected = x.sort(dim=-1, descending=True).values
    found = sorting_network.sorted_values(x, None, 1 / 18, network=network, distribution="logistic")
    assert_close(found, expected)


@every_distribution
def test_distributions(distribution: Any) -> None:
    v = torch.tensor([-30.0, -2.0, -0.3, -0.1, 0.0, 0.2, 0.26, 1.0, 50.0], dtype=torch.float64, requires_grad=True)
    found = cumulative(v, distribution)
    assert_close(
        found, torch.tensor([FUNCTIONS[distribution](value) for value in v.tolist()]).double(), atol=1e-7, rtol=1e-6
    )
    assert_close(density(v, distribution), torch.autograd.grad(found.sum(), v)[0])
    assert_close(cumulative(-v, distribution), 1 - found)


@pytest.mark.parametrize(("distribution", "most"), [("cauchy", 1 / math.pi), ("optimal", 1 / 16)])
def test_a_comparator_errs_by_a_bounded_amount(distribution: Any, most: float) -> None:
    x = torch.stack([torch.linspace(0, 1e3, 4001).double(), torch.zeros(4001).double()], dim=-1)
    error = x[:, 0] - sorting_network.sorted_values(x, None, 2.0, distribution=distribution)[:, 0]
    assert error.min() >= -1e-12
    assert 0.99 * most < float(error.max()) / 2 <= most


@every_network
@pytest.mark.parametrize(("distribution", "monotone"), [("cauchy", True), ("optimal", True), ("logistic", False)])
def test_no_result_falls_as_a_value_rises(network: Any, distribution: Any, monotone: bool) -> None:
    x = torch.randn(8, dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(
        lambda x: sorting_network.sorted_values(x, None, 0.2, network=network, distribution=distribution), x
    )
    assert bool((slopes >= -1e-12).all()) is monotone


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20),
    st.floats(0.05, 10),
    st.sampled_from(["bitonic", "odd_even"]),
    st.sampled_from(DISTRIBUTIONS),
)
def test_laws_of_networks(values: list[float], temperature: float, network: Any, distribution: Any) -> None:
    x, n = torch.tensor(values, dtype=torch.float64), len(values)
    options: dict[str, Any] = {"network": network, "distribution": distribution}
    matrix = sorting_network.matrix(x, None, temperature, **options)
    assert_close(matrix.sum(dim=0), torch.ones_like(x))
    assert_close(matrix.sum(dim=1), torch.ones_like(x))
    assert float(sorting_network.ranks(x, None, temperature, **options).sum()) == pytest.approx(n * (n + 1) / 2)
    moved = sorting_network.matrix(3 * x + 5, None, 3 * temperature, **options)
    assert_close(moved, matrix, rtol=1e-6, atol=1e-6)
    # A list without its order is sorted from below to above: all turns with the sign.
    equal = sorting_network.matrix(torch.zeros_like(x), None, temperature, **options)
    assert_close(equal, torch.tensor(defined([0.0] * n, temperature, network, distribution).tolist()).double())


@every_backend
@every_distribution
def test_towards_temperature_zero_networks_sort(backend: Any, distribution: Any) -> None:
    x = torch.randperm(10, device=DEVICE).float()
    options = {"distribution": distribution, "backend": backend}
    temperature = {"logistic": 1 / 18, "gaussian": 1 / 6}.get(distribution, 1e-8)
    expected = torch.arange(9.0, -1, -1, device=DEVICE)
    assert_close(sorting_network.sorted_values(x, None, temperature, **options), expected)
    assert_close(sorting_network.ranks(x, None, temperature, **options), 10 - x)


@every_backend
@every_network
def test_masked_items_are_not_there(backend: Any, network: Any) -> None:
    x, mask = torch.randn(3, 5, device=DEVICE), torch.rand(3, 5, device=DEVICE) < 0.6
    mask[2] = False
    garbage = torch.tensor([NAN, INF, 1e9, -INF] * 6, device=DEVICE)[:15].view(3, 5)
    given_x = torch.where(mask, x, garbage).requires_grad_()
    options = {"network": network, "backend": backend}
    ranks, ordered, matrix = (
        function(given_x, mask, 0.5, **options)
        for function in (sorting_network.ranks, sorting_network.sorted_values, sorting_network.matrix)
    )
    for row in range(3):
        real, m = x[row][mask[row]], int(mask[row].sum())
        assert_close(ranks[row][mask[row]], sorting_network.ranks(real, None, 0.5, **options))
        assert_close(ordered[row, :m], sorting_network.sorted_values(real, None, 0.5, **options))
        assert_close(matrix[row, :m][:, mask[row]], sorting_network.matrix(real, None, 0.5, **options))
        assert (ordered[row, m:] == 0).all()
    assert (ranks[~mask] == 0).all()
    assert float(matrix.detach().sum()) == pytest.approx(int(mask.sum()), rel=1e-5)
    upstream = torch.randn(3, 5, device=DEVICE).masked_fill(~mask, NAN)
    (gradient,) = torch.autograd.grad((ranks, ordered.sum(), matrix[0, 0, 0]), given_x, (upstream, None, None))
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()


@every_backend
@every_distribution
def test_infinite_and_unknown_values(backend: Any, distribution: Any) -> None:
    x = torch.tensor([[1.0, -INF, 3.0, INF, -INF], [1.0, 2.0, NAN, 4.0, 5.0]], device=DEVICE, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, True, False, True]], device=DEVICE)
    options = {"distribution": distribution, "backend": backend}
    ranks = sorting_network.ranks(x, mask, 1e-6, **options)
    expected = torch.tensor([[3.0, 4.5, 2.0, 1.0, 4.5], [NAN, NAN, NAN, 0.0, NAN]], device=DEVICE)
    assert_close(ranks, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(ranks[0].square().sum(), x)
    assert gradient.isfinite().all()
    assert (gradient[0, [1, 3, 4]] == 0).all()
    ordered = sorting_network.sorted_values(x, mask, 1e-6, **options)
    assert_close(ordered[0, 1:3], torch.tensor([3.0, 1.0], device=DEVICE))
    assert ordered[1, :4].isnan().all()


@every_backend
@pytest.mark.parametrize("temperature", [1e-40, 1e40])
def test_temperatures_beyond_float32(backend: Any, temperature: float) -> None:
    x = torch.tensor([1.0, 3.0, 2.0, 2.0], device=DEVICE)
    expected = torch.tensor([3.0, 2.0, 2.0, 1.0]) if temperature < 1 else torch.full((4,), 2.0)
    assert_close(sorting_network.sorted_values(x, None, temperature, backend=backend), expected.to(DEVICE))
