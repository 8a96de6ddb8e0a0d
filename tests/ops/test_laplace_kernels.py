"""Triton kernels, interpreted on a CPU, and the CPU's own path against the definition in float64; and the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops.laplace import cpu, launch, library, ranks, sorted_values, threshold_passes, thresholds, top_k_weights
from rankgrad.ops.scans import recurrence

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
NAN = float("nan")
# The interpreter takes its time for each list.
SHAPES = {"triton": [(3,), (1, 40)], "auto": [(5,), (3, 1), (2, 3, 21), (2, 70)]}
TEMPERATURES = {"triton": [1e-3, 0.5], "auto": [1e-3, 0.3, 5.0]}
# It also says when a distance becomes infinite, as it may where an exponential is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
PATHS = ["one program", "chunks", "narrow", "blocks"]


def sort_softly(x: Tensor, mask: Tensor | None, temperature: float, **options: Any) -> Tensor:
    return sorted_values(x, mask, temperature, **options)


def select(x: Tensor, mask: Tensor | None, temperature: float, **options: Any) -> Tensor:
    return top_k_weights(x, mask, 1.7, temperature, **options)


def cut(x: Tensor, mask: Tensor | None, temperature: float, **options: Any) -> Tensor:
    counts = torch.tensor([2.3, 0.4, 0.4], dtype=x.dtype, device=x.device)
    found = thresholds(x, mask, counts, temperature, **options)
    return found.where(found.isfinite(), 0.0)


@pytest.fixture(params=PATHS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to the result, on lists of a test's size."""
    if request.param == "chunks":
        monkeypatch.setattr(launch, "LONGEST", 0)
        monkeypatch.setattr(launch, "_CHUNK", 16)
        monkeypatch.setattr(launch, "_CARRIES", 16)
    if request.param == "blocks":
        monkeypatch.setattr(cpu, "_WIDEST", -1.0)
        monkeypatch.setattr(threshold_passes, "_STEP", 5)
        monkeypatch.setattr(recurrence, "_SHORTEST_BLOCK", 3)
    return "triton" if request.param in PATHS[:2] else "auto"


def result_and_gradient(function: Any, x: Tensor, mask: Tensor | None, **options: Any) -> list[Tensor]:
    """The result and the gradient that it sends back, which NaN behind the mask does not reach."""
    x = x.detach().to(DEVICE).requires_grad_()
    mask = None if mask is None else mask.to(DEVICE)
    result = function(x, mask, **options)
    upstream = torch.linspace(-9, 18, result.numel(), device=DEVICE).sin().mul(64).round().div(64)
    upstream = upstream.to(result.dtype).view(result.shape)
    if mask is not None and result.shape == mask.shape and function is not sort_softly:
        upstream = upstream.masked_fill(~mask, NAN)
    return [result.detach(), torch.autograd.grad(result, x, upstream)[0]]


def exact_ranks(x: Tensor, count: int, temperature: float) -> Tensor:
    """The first ranks of a long list, by torch's own distribution function."""
    law = torch.distributions.Laplace(torch.zeros((), dtype=torch.float64), 1.0)
    return 0.5 + law.cdf((x.double() - x[:count].double().unsqueeze(1)) / temperature).sum(dim=1)


def check(function: Any, x: Tensor, mask: Tensor | None, backend: Any, temperature: float) -> None:
    found = result_and_gradient(function, x, mask, temperature=temperature, backend=backend)
    expected = result_and_gradient(function, x.double(), mask, temperature=temperature, backend="reference")
    assert_close(found[0].double(), expected[0], rtol=2e-6, atol=2e-6)
    steepest = max(float(expected[1].abs().max()), 1e-3)
    assert_close(found[1].double(), expected[1], rtol=1e-4, atol=3e-6 * steepest)


@pytest.mark.parametrize("function", [ranks, sort_softly, select, cut], ids=lambda function: function.__name__)
@pytest.mark.parametrize("masked", [False, True])
def test_every_path_agrees_with_the_definition(function: Any, backend: Any, masked: bool) -> None:
    for shape in SHAPES[backend]:
        x, mask = torch.randn(shape), torch.rand(shape) < 0.7
        x[..., -1] = x[..., 0]
        for temperature in TEMPERATURES[backend]:
            check(function, x.masked_fill(~mask, NAN) if masked else x, mask if masked else None, backend, temperature)


def test_more_chunks_than_one_program_carries(backend: str) -> None:
    check(ranks, torch.randn(1, 270), None, backend, 0.3)


@pytest.mark.parametrize("temperature", [1e-4, 0.1])
def test_long_lists_on_a_cpu(temperature: float) -> None:
    """Blocks of blocks at the low temperature, one cumulative sum at the high one."""
    x = torch.randn(2, 100_000)
    found = ranks(x, None, temperature)
    assert_close(
        found.double().sum(dim=-1), torch.full((2,), 100_000 * 100_001 / 2, dtype=torch.float64), rtol=1e-7, atol=0
    )
    assert_close(found[0, :5].double(), exact_ranks(x[0], 5, temperature), rtol=2e-7, atol=0)


@pytest.mark.parametrize("temperature", [1e-9, 1.0])
def test_half_precision_lists_of_32768(temperature: float) -> None:
    """torchsort kept indices in the dtype of the data, where 2049 is 2048; and float32 sums would lose digits."""
    bits = torch.arange(-15_000, 15_000).to(torch.int16)
    x = torch.where(bits < 0, -(-bits).view(torch.float16), bits.view(torch.float16))[torch.randperm(30_000)]
    assert_close(ranks(x, None, temperature)[:5].double(), exact_ranks(x, 5, temperature), rtol=2e-7, atol=0)
    for k in (1.0, 12_345.6, 29_999.0):
        weights = top_k_weights(x, None, k, temperature)
        assert float(weights.double().sum()) == pytest.approx(k, rel=1e-5)


def test_gradients_repeat_bit_for_bit_and_strides_do_not_matter(backend: str) -> None:
    x, mask = torch.randn(14, 2).T, (torch.rand(14, 2) < 0.8).T
    assert not x.is_contiguous()
    for function in (ranks, sort_softly, select):
        first = result_and_gradient(function, x, None, temperature=0.4, backend=backend)
        again = result_and_gradient(function, x.contiguous(), None, temperature=0.4, backend=backend)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        check(function, x, mask, backend, 0.4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_values_accumulate_in_float32(backend: str, dtype: torch.dtype) -> None:
    x = torch.randn(1, 14).to(dtype)
    for function in (ranks, sort_softly, select):
        found, wide = (
            result_and_gradient(function, given, None, temperature=0.3, backend=backend) for given in (x, x.float())
        )
        assert (found[0].dtype, found[1].dtype) == (torch.float32, dtype)
        assert_close(found, [wide[0], wide[1].to(dtype)])


def test_constant_upstream_gives_exactly_no_gradient(backend: str) -> None:
    """Sums of ranks are constant."""
    x = torch.randn(2, 50, device=DEVICE, requires_grad=True)
    found = ranks(x, None, 0.3, backend=backend)  # type: ignore[arg-type]
    assert (torch.autograd.grad(found.sum(), x)[0] == 0).all()


@pytest.mark.usefixtures("nan_filled_memory")
def test_every_place_of_the_results_is_written(backend: str) -> None:
    for function in (ranks, sort_softly, select, cut):
        check(function, torch.randn(2, 27), torch.rand(2, 27) < 0.9, backend, 0.4)


def test_no_n_by_n_tensor_forward_or_backward(operators: Callable[[], Any]) -> None:
    x = torch.randn(3000, requires_grad=True)
    for temperature in (1e-4, 0.1):
        for function in (ranks, sort_softly, select):
            with operators() as seen:
                function(x, None, temperature).square().sum().backward()
            assert seen.largest <= 4 * x.numel()


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
@pytest.mark.parametrize("masked", [True, False])
def test_operators_pass_torchs_checks(triton: bool, masked: bool) -> None:
    x = torch.randn(2, 4, device=DEVICE).half().requires_grad_()
    mask = torch.rand(2, 4, device=DEVICE) < 0.7 if masked else None
    counts = torch.tensor([[0.5, 1.5, 2.0]] * 2, device=DEVICE, requires_grad=True)
    temperature = torch.tensor([0.4, 0.5], device=DEVICE, requires_grad=True)
    torch.library.opcheck(library.ranks_op, (x, mask, 0.5, triton))
    torch.library.opcheck(library.thresholds_op, (x, mask, counts, temperature, triton))
    torch.library.opcheck(library.weights_op, (x, mask, counts.detach()[:, 1].requires_grad_(), temperature, triton))


@pytest.mark.parametrize("way", ["triton", "auto"])
def test_training_step_compiles_in_one_graph(way: Any) -> None:
    torch.compiler.reset()
    features, mask = torch.randn(2, 6, 5, device=DEVICE), torch.rand(2, 6, device=DEVICE) < 0.8
    weight = torch.randn(5, device=DEVICE, requires_grad=True)

    def loss(weight: Tensor) -> Tensor:
        scores = features @ weight
        found = ranks(scores, mask, 0.4, backend=way) * top_k_weights(scores, mask, weight[0].exp(), 0.4, backend=way)
        return (found * sorted_values(scores, mask, 0.4, backend=way)).square().mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = [[value, *torch.autograd.grad(value, weight)] for value in (compiled(weight), loss(weight))]
    assert_close(*results)


def test_meta_tensors_have_shape_and_dtype() -> None:
    x = torch.empty(3, 7, dtype=torch.float16, device="meta")
    for function in (ranks, sort_softly, select):
        found = function(x, None, 0.5)
        assert (found.shape, found.dtype, found.device.type) == (x.shape, torch.float32, "meta")


class _Everything(torch.nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ranks(x, mask, 0.4), top_k_weights(x, mask, 2.0, 0.4), sorted_values(x, mask, 0.4)


def test_export_is_the_definition() -> None:
    """A graph of plain operators, with every axis dynamic."""
    x, mask = torch.randn(3, 7), torch.rand(3, 7) < 0.8
    axes = {0: torch.export.Dim("lists"), 1: torch.export.Dim("items", min=2)}
    exported = torch.export.export(_Everything(), (x, mask), dynamic_shapes=(axes, axes))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    x, mask = torch.randn(5, 11), torch.rand(5, 11) < 0.8
    assert_close(exported.module()(x, mask), _Everything()(x, mask))
