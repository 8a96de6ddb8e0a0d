"""Sorting networks as operators: gradients, kernels, the compiler, export, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import sorting_network
from rankgrad.ops.sorting_network import launch, library
from rankgrad.ops.sorting_network.distributions import DISTRIBUTIONS

# The interpreter says when an exponential becomes infinite, as it should where a sigmoid is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
every_backend = pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
every_network = pytest.mark.parametrize("network", ["bitonic", "odd_even"])


@pytest.mark.parametrize(
    ("backend", "network", "distribution"),
    [
        *(("auto", "bitonic", name) for name in DISTRIBUTIONS),
        ("auto", "odd_even", "cauchy"),
        ("reference", "bitonic", "optimal"),
    ],
)
def test_gradients_are_the_derivatives(backend: Any, network: Any, distribution: Any) -> None:
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    values = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 5, [True, True, False, True, True]])
    options = {"network": network, "distribution": distribution, "backend": backend}
    for transpose in (False, True):
        assert torch.autograd.gradcheck(
            lambda x, v, t=transpose: sorting_network.apply(x, v, mask, 0.8, transpose=t, **options), (x, values)
        )
    assert torch.autograd.gradcheck(lambda x: sorting_network.sorted_values(x, mask, 0.8, **options), x)


@pytest.mark.parametrize("backend", ["auto", "triton"])
@pytest.mark.parametrize(
    ("network", "distribution", "n"),
    [("bitonic", "logistic", 9), ("bitonic", "cauchy", 6), ("odd_even", "gaussian", 4), ("bitonic", "optimal", 4)],
)
def test_gradients_agree_with_float64(backend: Any, network: Any, distribution: Any, n: int) -> None:
    x, mask, values = torch.randn(2, 1, n), torch.rand(2, 1, n) < 0.8, torch.randn(2, 1, n, 2)
    options = {"network": network, "distribution": distribution}

    def gradients(dtype: torch.dtype, backend: Any) -> list[Tensor]:
        inputs = (x.to(DEVICE, dtype).requires_grad_(), values.to(DEVICE, dtype).requires_grad_())
        found = [
            sorting_network.apply(*inputs, mask.to(DEVICE), 0.4, transpose=transpose, backend=backend, **options)
            for transpose in (False, True)
        ]
        found.append(sorting_network.sorted_values(inputs[0], mask.to(DEVICE), 0.4, backend=backend, **options))
        total = sum((result * result.detach().sin()).sum() for result in found)
        return [*(result.detach() for result in found), *torch.autograd.grad(torch.as_tensor(total), inputs)]

    for one, other in zip(gradients(torch.float32, backend), gradients(torch.float64, "reference"), strict=True):
        assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@every_backend
@every_network
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 0, 4)])
def test_nothing_to_sort(backend: Any, network: Any, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float16, device=DEVICE, requires_grad=True)
    for function in (sorting_network.ranks, sorting_network.sorted_values):
        result = function(x, torch.ones_like(x, dtype=torch.bool), 1.0, network=network, backend=backend)
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert (result.shape, result.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)
    assert sorting_network.matrix(x, None, 1.0, network=network, backend=backend).shape == (*shape, shape[-1])


def test_no_n_by_n_tensor_forward_or_backward(operators: Callable[[], Any]) -> None:
    x = torch.randn(2000, requires_grad=True)
    with operators() as seen:
        (sorting_network.ranks(x, None, 0.1) * sorting_network.sorted_values(x, None, 0.1)).sum().backward()
    assert seen.largest <= 67 * len(x)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
def test_operators_pass_torchs_checks(triton: bool) -> None:
    x, count = torch.randn(2, 3, device=DEVICE), torch.tensor([3, 2], device=DEVICE)
    options = (0.5, "bitonic", "cauchy")
    wires = library.wires_op(x, count, *options, True, triton)
    share, values = torch.rand_like(wires[:-1]), torch.randn(2, 3, 2, device=DEVICE)
    torch.library.opcheck(library.wires_op, (x.clone().requires_grad_(), count, *options, True, triton))
    torch.library.opcheck(library.wires_op, (x, count, *options, False, triton))
    torch.library.opcheck(library.wires_backward_op, (torch.randn_like(wires), wires, count, *options, triton))
    inputs = (share.clone().requires_grad_(), values.clone().requires_grad_())
    torch.library.opcheck(library.push_op, (*inputs, "bitonic", True, triton))
    torch.library.opcheck(library.push_backward_op, (values, share, values, "bitonic", False, triton))


@every_backend
def test_compiles_in_one_graph_and_repeats_bit_for_bit(backend: Any) -> None:
    torch.compiler.reset()
    x, mask = torch.randn(2, 4, device=DEVICE, requires_grad=True), torch.rand(2, 4, device=DEVICE) < 0.8

    def loss(x: Tensor) -> Tensor:
        ranks = sorting_network.ranks(x, mask, 0.4, backend=backend)
        return (ranks * sorting_network.sorted_values(x, mask, 0.4, backend=backend)).sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = [[value, *torch.autograd.grad(value, x)] for value in (compiled(x), loss(x), loss(x))]
    assert_close(results[0], results[1])
    assert torch.equal(results[1][1], results[2][1])
    assert_close(loss(x.detach().T.contiguous().T), loss(x))
    with torch.no_grad():
        assert_close(loss(x), results[1][0].detach())
    far = sorting_network.ranks(x.detach().to("meta"), mask.to("meta"), 0.4, backend=backend)
    assert (far.shape, far.dtype) == (x.shape, torch.float32)


def test_export_holds_plain_operators() -> None:
    class Ranks(torch.nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return sorting_network.ranks(x, mask, 0.4)

    axes = {0: torch.export.Dim("lists")}
    inputs = (torch.randn(3, 4), torch.rand(3, 4) < 0.8)
    exported = torch.export.export(Ranks(), inputs, dynamic_shapes=(axes, axes))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    x, mask = torch.randn(5, 4), torch.rand(5, 4) < 0.8
    assert_close(exported.module()(x, mask), sorting_network.ranks(x, mask, 0.4))


def test_a_list_of_many_warps() -> None:
    x = torch.randn(1, 1100, device=DEVICE)
    results: list[list[Tensor]] = []
    cases: list[tuple[Tensor, Any]] = [(x.clone(), "triton"), (x.double(), "auto")]
    for leaf, backend in cases:
        values = sorting_network.sorted_values(leaf.requires_grad_(), None, 0.3, backend=backend)
        results.append([values.detach().float(), torch.autograd.grad(values, leaf, x.sin().to(leaf))[0].float()])
    assert_close(*results, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x: Tensor = torch.ones(3)
    bad: dict[str, Any] = {"network": "shell", "distribution": "normal"}
    with pytest.raises(InputError, match=r'network: expected "bitonic" or "odd_even", got \'shell\''):
        sorting_network.ranks(x, None, 1.0, network=bad["network"])
    with pytest.raises(InputError, match=r"distribution: expected one of logistic, cauchy, gaussian, optimal, got 'n"):
        sorting_network.ranks(x, None, 1.0, distribution=bad["distribution"])
    with pytest.raises(InputError, match=r'backend: "triton" cannot run: .*accumulate in float32'):
        sorting_network.ranks(x.double(), None, 1.0, backend="triton")
    long = torch.randn(launch.LONGEST + 1, device=DEVICE)
    with pytest.raises(InputError, match=r'backend: "triton" sorts at most 2048 items, got 2049; use "auto"'):
        sorting_network.sorted_values(long, None, 1.0, backend="triton")
    expected = long.sort(descending=True).values
    assert_close(sorting_network.sorted_values(long, None, 1e-9, distribution="logistic"), expected)
