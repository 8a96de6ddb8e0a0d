"""Triton kernels, interpreted on a CPU, and the CPU's own path against the definition in float64; and the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules import SoftRank
from rankgrad.ops import soft_rank
from rankgrad.ops.pairwise_rank import cpu, interpolated, launch, library

pytest.importorskip("triton")
# The interpreter says when an exponential becomes infinite, as it should where a sigmoid is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(5,), (3, 1), (40, 7), (2, 3, 21), (2, 100), (3, 130), (1, 200)]
TEMPERATURES = [1e-3, 0.3, 5.0]
every_path = pytest.mark.parametrize("backend", ["triton", "auto"])


@pytest.fixture(params=["one block", "blocks of 8", "blocks of 8 in small tiles"])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut lists of a test's size as the CPU cuts long ones; no polynomial takes their place."""
    monkeypatch.setattr(interpolated, "_ITEMS_A_TERM", 1 << 20)
    monkeypatch.setattr(cpu, "_FEW_PAIRS", 0)
    if request.param != "one block":
        monkeypatch.setattr(cpu, "_block", lambda count, n: -(-n // -(-n // 8)))
    if request.param.endswith("tiles"):
        monkeypatch.setattr(cpu, "_TILE_ELEMENTS", 100)


def ranks_and_gradient(x: Tensor, mask: Tensor | None, backend: Any, **options: Any) -> list[Tensor]:
    """Ranks and the gradient that they send back, which NaN behind the mask does not reach."""
    x = x.detach().to(DEVICE).requires_grad_()
    mask = None if mask is None else mask.to(DEVICE)
    ranks = soft_rank(x, mask=mask, backend=backend, **options)
    # Exact in every dtype.
    upstream = torch.linspace(-9, 18, ranks.numel(), device=DEVICE).sin().mul(64).round().div(64)
    upstream = upstream.to(ranks.dtype).view(ranks.shape)
    if mask is not None:
        upstream = upstream.masked_fill(~mask, float("nan"))
    with torch.no_grad():
        assert_close(soft_rank(x, mask=mask, backend=backend, **options), ranks)
    return [ranks.detach(), torch.autograd.grad(ranks, x, upstream)[0]]


def check(x: Tensor, mask: Tensor | None, backend: Any, **options: Any) -> None:
    """Ranks to some units in the last place, gradients to those of the steepest slope."""
    found = ranks_and_gradient(x, mask, backend, **options)
    expected = ranks_and_gradient(x.double(), mask, "reference", **options)
    assert_close(found[0].double(), expected[0], rtol=1e-6, atol=1e-6)
    steepest = max(float(expected[1].abs().max()), 1e-3) if x.numel() else 0.0
    assert_close(found[1].double(), expected[1], rtol=1e-4, atol=1e-6 * steepest)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("masked", [False, True])
def test_kernels_agree_with_the_definition(shape: tuple[int, ...], temperature: float, masked: bool) -> None:
    x, mask = torch.randn(shape), torch.rand(shape) < 0.7
    x[..., -1] = x[..., 0]
    check(
        x.masked_fill(~mask, float("nan")) if masked else x, mask if masked else None, "triton", temperature=temperature
    )


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sorted_blocks_agree_with_the_definition(
    shape: tuple[int, ...], temperature: float, masked: bool, dtype: torch.dtype
) -> None:
    x, mask = torch.randn(shape, dtype=dtype), torch.rand(shape) < 0.7
    x[..., -1] = x[..., 0]
    check(
        x.masked_fill(~mask, float("nan")) if masked else x, mask if masked else None, "auto", temperature=temperature
    )


@pytest.mark.parametrize("shape", [(9, 700), (2, 1100), (1, 3000)], ids=str)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_long_lists_on_a_cpu(shape: tuple[int, ...], temperature: float) -> None:
    x, mask = torch.randn(shape), torch.rand(shape) < 0.9
    check(x, mask, "auto", temperature=temperature)


@pytest.mark.parametrize("tile", [1 << 19, 900], ids=["whole lists", "stretches of them"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [0.7, 4.0, 1e5])
def test_polynomials_agree_with_the_definition(
    monkeypatch: pytest.MonkeyPatch, tile: int, masked: bool, temperature: float
) -> None:
    monkeypatch.setattr(interpolated, "_TILE_ELEMENTS", tile)
    x, mask = torch.randn(5, 230) * torch.tensor([[1.0, 0.5, 0.0, 1.0, 1.0]]).T + 1e3, torch.rand(5, 230) < 0.8
    mask[3] = False
    assert interpolated.choose(x, mask, temperature) is not None
    check(
        x.masked_fill(~mask, float("nan")) if masked else x, mask if masked else None, "auto", temperature=temperature
    )


def test_wide_or_short_lists_take_no_polynomial() -> None:
    x = torch.randn(2, 400)
    assert interpolated.choose(x, None, 0.7) is not None
    x[0, 0] = float("inf")
    for refused in (x, torch.randn(2, 400) * 50, torch.randn(2, 20), torch.randn(2, 400).double()):
        assert interpolated.choose(refused, None, 0.7) is None


@every_path
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_values_accumulate_in_float32(backend: Any, dtype: torch.dtype) -> None:
    x = torch.randn(3, 70).to(dtype)
    found, wide = (
        ranks_and_gradient(x, None, backend, temperature=0.3),
        ranks_and_gradient(x.float(), None, backend, temperature=0.3),
    )
    assert (found[0].dtype, found[1].dtype) == (torch.float32, dtype)
    assert_close(found, [wide[0], wide[1].to(dtype)])


@every_path
@pytest.mark.usefixtures("small_blocks")
def test_infinite_and_huge_values(backend: Any) -> None:
    """Infinite values in front of a block, behind it, and among masked ones; distances beyond float32."""
    x = torch.randn(4, 30)
    x[0, :12], x[1, :12], x[2, :5], x[3, 0] = float("inf"), float("-inf"), float("inf"), 1e30
    x[2, 5:12] = float("-inf")
    mask = torch.rand(4, 30) < 0.8
    for given in (None, mask):
        check(x, given, backend, temperature=0.2)


@every_path
@pytest.mark.usefixtures("nan_filled_memory", "small_blocks")
def test_every_place_of_the_results_is_written(backend: Any) -> None:
    check(torch.randn(5, 83), torch.rand(5, 83) < 0.9, backend, temperature=0.4)


@every_path
def test_gradients_repeat_bit_for_bit(backend: Any) -> None:
    x, mask = torch.randn(5, 83), torch.rand(5, 83) < 0.9
    first, second = (ranks_and_gradient(x, mask, backend, temperature=0.4) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1][mask], second[1][mask])


@every_path
def test_constant_upstream_gives_no_gradient(backend: Any) -> None:
    """The sum of ranks is constant."""
    x = torch.randn(3, 50, device=DEVICE, requires_grad=True)
    gradient = torch.autograd.grad(soft_rank(x, temperature=0.3, backend=backend).sum(), x)[0]
    assert_close(gradient, torch.zeros_like(x), rtol=0, atol=1e-5)


@every_path
def test_strides_do_not_matter(backend: Any) -> None:
    x, mask = torch.randn(20, 6).T, (torch.rand(20, 6) < 0.8).T
    assert not x.is_contiguous()
    check(x, mask, backend, temperature=0.4)
    check(torch.randn(6, 40)[:, 3:20], None, backend, temperature=0.4)


def test_offsets_beyond_two_to_the_31() -> None:
    """Lists lie 2^30 numbers apart; the memory between them is reserved, never touched."""
    apart, rows = 1 << 30, torch.randn(4, 9).half().to(DEVICE)
    try:
        storage = torch.empty(3 * apart + 9, dtype=torch.float16, device=DEVICE)
    except RuntimeError as error:
        pytest.skip(f"6 GiB of address space cannot be reserved: {error}")
    far = storage.as_strided((4, 9), (apart, 1))
    far.copy_(rows)
    assert_close(launch.forward(far, None, 0.3), launch.forward(rows, None, 0.3))


def test_no_n_by_n_tensor_forward_or_backward(operators: Callable[[], Any]) -> None:
    x = torch.randn(4000, requires_grad=True)
    with operators() as seen:
        soft_rank(x, temperature=0.1).square().sum().backward()
    assert seen.largest <= 2 * cpu._TILE_ELEMENTS < x.numel() ** 2


def test_saturated_pairs_are_skipped(operators: Callable[[], Any]) -> None:
    """Between two clusters far apart no pair is looked at."""
    x = torch.cat([torch.rand(8, 1024), torch.rand(8, 1024) + 1e6], dim=1)
    pairs = []
    for values in (x, torch.rand(8, 2048)):
        strips = cpu._strips(cpu._sort(values, None), 1.0)
        pairs.append(sum(strip.inverse.numel() for strip in strips))
    within, across = 2 * 8 * 1024**2 / 2, 8 * 2048**2 / 2
    assert pairs[0] < within < pairs[1] < across


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_operator_passes_torchs_checks(triton: bool, masked: bool, dtype: torch.dtype) -> None:
    x = torch.randn(3, 8, device=DEVICE).to(dtype).requires_grad_()
    mask = torch.rand(3, 8, device=DEVICE) < 0.7 if masked else None
    torch.library.opcheck(library.pairwise_rank_op, (x, mask, 0.5, triton))


@every_path
def test_training_step_compiles_in_one_graph(backend: Any) -> None:
    torch.compiler.reset()
    ranker = SoftRank(temperature=0.4, relative=True, backend=backend)
    features, mask = torch.randn(4, 9, 5, device=DEVICE), torch.rand(4, 9, device=DEVICE) < 0.8
    weight = torch.randn(5, device=DEVICE, requires_grad=True)

    def loss(weight: Tensor) -> Tensor:
        return (ranker(features @ weight, mask=mask) * mask).square().mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    results = [[value, *torch.autograd.grad(value, weight)] for value in (compiled(weight), loss(weight))]
    assert_close(*results)


def test_export_is_the_definition() -> None:
    """A graph of plain operators, with every axis dynamic."""
    x, mask = torch.randn(3, 7), torch.rand(3, 7) < 0.8
    axes = {0: torch.export.Dim("lists"), 1: torch.export.Dim("items", min=2)}
    exported = torch.export.export(SoftRank(temperature=0.4), (x,), {"mask": mask}, dynamic_shapes=(axes, axes))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    x, mask = torch.randn(5, 11), torch.rand(5, 11) < 0.8
    assert_close(exported.module()(x, mask=mask), soft_rank(x, mask=mask, temperature=0.4))


def test_float64_is_not_for_kernels() -> None:
    x = torch.ones(3, dtype=torch.float64, device=DEVICE)
    with pytest.raises(InputError, match=r'backend: "triton" cannot run: .*accumulate in float32'):
        soft_rank(x, temperature=1.0, backend="triton")
