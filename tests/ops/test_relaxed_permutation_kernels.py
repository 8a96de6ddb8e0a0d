"""Triton kernels of relaxed permutations, interpreted on a CPU; and the operators compiled and exported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops.relaxed_permutation import apply, launch, library, matrix, products, ranks, sorted_values

pytest.importorskip("triton")
# The interpreter says when a distance becomes infinite, as it should where a weight is 0.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KINDS = {"laplace": ("softsort", 1), "square": ("softsort", 2), "neuralsort": ("neuralsort", 1)}
every_kind = pytest.mark.parametrize("kind", KINDS)


def options_of(kind: str) -> dict[str, Any]:
    method, power = KINDS[kind]
    return {"method": method, "power": power}


def results(x: Tensor, mask: Tensor | None, values: Tensor, temperature: float, **options: Any) -> list[Tensor]:
    """Ranks, sorted values and both products, and the gradients that they send back."""
    x, values = (operand.detach().to(DEVICE).requires_grad_() for operand in (x, values))
    mask = None if mask is None else mask.to(DEVICE)
    found = [ranks(x, mask, temperature, **options), sorted_values(x, mask, temperature, **options)]
    found += [apply(x, values, mask, temperature, transpose=way, **options) for way in (False, True)]
    gradients = []
    for result in found:
        upstream = torch.linspace(-9, 18, result.numel(), device=DEVICE).sin().to(result.dtype).view(result.shape)
        gradients += torch.autograd.grad(result, (x, values), upstream, allow_unused=True)
    return [result.detach() for result in found] + [each for each in gradients if each is not None]


@every_kind
@pytest.mark.parametrize(
    ("shape", "dim", "temperature"),
    [((2, 37), 3, 0.3), ((1, 70), 1, 0.02), ((1, 5), 18, 2.0), ((1, 2, 40), 1, 50.0)],
    ids=str,
)
def test_kernels_agree_with_the_definition(kind: str, shape: tuple[int, ...], dim: int, temperature: float) -> None:
    x, mask, values = torch.randn(shape), torch.rand(shape) < 0.8, torch.randn(*shape, dim)
    x[..., -1], mask[..., [0, -1]] = x[..., 0], True
    x = x.masked_fill(~mask, float("nan"))
    found = results(x, mask, values, temperature, backend="triton", **options_of(kind))
    expected = results(x.double(), mask, values.double(), temperature, backend="reference", **options_of(kind))
    for mine, theirs in zip(found, expected, strict=True):
        # A derivative is one over the temperature times sums of shares that may cancel.
        steepest = max(1.0, 1 / temperature, float(theirs.abs().max()))
        assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5 * steepest)


@pytest.mark.parametrize("kind", ["laplace", "neuralsort"])
@pytest.mark.usefixtures("nan_filled_memory")
def test_kernels_repeat_bit_for_bit_and_write_everything(kind: str) -> None:
    ordered, weights = torch.randn(1, 40, device=DEVICE).sort(descending=True).values, torch.randn(1, 2, 40).to(DEVICE)
    options = {"transpose": True, "moments": True}
    first, second = (launch.multiply(ordered, weights, 0.2, kind, **options) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
        assert one.isfinite().all()


@pytest.mark.parametrize("kind", ["laplace", "square"])
def test_equal_values_in_several_tiles(kind: str) -> None:
    """Equal items are not above each other, in whichever tile they stand."""
    values = torch.cat([torch.full((20,), 2.0), torch.full((60,), 1.0), torch.full((20,), 0.5)])[None].to(DEVICE)
    weights = torch.randn(1, 1, 100, device=DEVICE)
    options = {"transpose": False, "moments": True}
    found = launch.multiply(values, weights, 0.7, kind, **options)
    expected = products.multiply(values.double(), weights.double(), 0.7, kind, triton=False, **options)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine is not None
        assert theirs is not None
        assert_close(mine.double(), theirs, rtol=1e-4, atol=1e-4)


@every_kind
def test_kernels_meet_extreme_values(kind: str) -> None:
    x = torch.tensor([[1.0, float("inf"), 3.0, 2e38, -1e30, float("-inf"), 3.0]])
    for temperature in (1e-300, 0.5, 1e30):
        found, expected = (
            [
                ranks(x.to(DEVICE), None, temperature, backend=backend, **options_of(kind)),
                sorted_values(x.to(DEVICE), None, temperature, backend=backend, **options_of(kind))[:, 3:5],
            ]
            for backend in ("triton", "auto")
        )
        assert_close(found, expected)


@pytest.mark.parametrize(
    ("kind", "transpose", "triton"),
    [("laplace", False, False), ("square", False, False), ("neuralsort", True, False), ("laplace", False, True)],
)
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_operator_passes_torchs_checks(kind: str, transpose: bool, triton: bool) -> None:
    ordered = torch.randn(2, 6, device=DEVICE).sort(descending=True).values.requires_grad_()
    weights = torch.randn(2, 3, 6, device=DEVICE, requires_grad=True)
    torch.library.opcheck(library.product_op, (ordered, weights, 0.5, kind, transpose, triton))


@pytest.mark.parametrize(
    ("kind", "backend"), [("laplace", "auto"), ("square", "auto"), ("neuralsort", "auto"), ("neuralsort", "triton")]
)
def test_training_step_compiles_in_one_graph(kind: str, backend: Any) -> None:
    torch.compiler.reset()
    options = {"backend": backend, **options_of(kind)}
    features, mask = torch.randn(3, 9, 5, device=DEVICE), torch.rand(3, 9, device=DEVICE) < 0.8
    weight = torch.randn(5, device=DEVICE, requires_grad=True)

    def loss(weight: Tensor) -> Tensor:
        scores = features @ weight
        shares = apply(scores, features, mask, 0.4, transpose=True, **options)
        places = ranks(scores, mask, 0.4, **options) + sorted_values(scores, mask, 0.4, **options)
        return shares.square().mean() + places.square().mean()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_close(*([value, *torch.autograd.grad(value, weight)] for value in (compiled(weight), loss(weight))))


class Head(nn.Module):
    """What a deployed head may carry."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.options = options_of(kind)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return ranks(x, mask, 0.4, **self.options), sorted_values(x, mask, 0.4, **self.options)


@every_kind
def test_export_is_the_definition(kind: str) -> None:
    """A graph of plain operators, with every axis dynamic."""
    axes = {0: torch.export.Dim("lists"), 1: torch.export.Dim("items", min=2)}
    x, mask = torch.randn(3, 7), torch.rand(3, 7) < 0.8
    exported = torch.export.export(Head(kind), (x, mask), dynamic_shapes=(axes, axes))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    x, mask = torch.randn(5, 11), torch.rand(5, 11) < 0.8
    assert_close(exported.module()(x, mask), Head(kind)(x, mask))


def test_float64_is_not_for_kernels() -> None:
    x = torch.ones(3, dtype=torch.float64, device=DEVICE)
    for function in (ranks, sorted_values):
        with pytest.raises(InputError, match=r'backend: "triton" cannot run: .*accumulate in float32'):
            function(x, None, 1.0, method="softsort", backend="triton")


def test_the_matrix_differentiates_twice() -> None:
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: matrix(x, None, 0.7, method="softsort"), x)
    assert torch.autograd.gradgradcheck(lambda x: matrix(x, None, 0.7, method="neuralsort"), x)
