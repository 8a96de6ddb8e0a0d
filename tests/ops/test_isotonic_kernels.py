"""The kernels of isotonic regression, run by triton's interpreter on a CPU; and the operators around them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import isotonic_regression, soft_sort
from rankgrad.ops.isotonic import launch, library, ranks, tree
from rankgrad.ops.isotonic.projection_library import projection_op

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [1, 2, 3, 8, 21, 64, 150]


def results(call: Any, x: Tensor, backend: str, **options: Any) -> list[Tensor]:
    leaf = x.detach().clone().requires_grad_()
    value = call(leaf, backend=backend, **options)
    upstream = torch.linspace(-1, 2, value.numel(), device=value.device).sin().view(value.shape)
    return [value.detach(), torch.autograd.grad(value, leaf, upstream)[0]]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_blocks_are_those_of_plain_torch(logarithmic: bool, weighted: bool) -> None:
    for n in SIZES:
        numerators = torch.randn(3, n, device=DEVICE) * 2
        weights = torch.rand(3, n, device=DEVICE) + 0.1 if weighted else None
        numerators[1, n // 2 :] = float("inf")
        found, expected = (where.blocks(numerators, weights, logarithmic=logarithmic) for where in (launch, tree))
        assert_close(found, expected)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("regularization", ["l2", "kl"])
def test_regression_agrees_with_the_definition(regularization: Any, weighted: bool) -> None:
    for n in SIZES[:-1]:
        y, mask = torch.randn(2, 2, n, device=DEVICE), torch.rand(2, 2, n, device=DEVICE) < 0.7
        options: dict[str, Any] = {"regularization": regularization, "mask": mask, "increasing": n % 2 == 0}
        if weighted:
            options["weights"] = torch.rand(2, 2, n, device=DEVICE) + 0.1
        kernels, definition = (results(isotonic_regression, y, each, **options) for each in ("triton", "reference"))
        assert_close(kernels, definition, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regularization", ["l2", "kl"])
@pytest.mark.parametrize("temperature", [0.02, 0.3, 5.0])
def test_projections_agree_with_the_definition(regularization: Any, temperature: float) -> None:
    for n in SIZES[:-1]:
        x, mask = torch.randn(3, n, device=DEVICE), torch.rand(3, n, device=DEVICE) < 0.8

        def soft_ranks(x: Tensor, *, mask: Tensor = mask, **options: Any) -> Tensor:
            return ranks(x, mask, **options)

        for call in (soft_ranks, soft_sort):
            options = {"mask": mask, "temperature": temperature, "regularization": regularization}
            kernels = results(call, x, "triton", **options)
            definition = [each.float() for each in results(call, x.double(), "reference", **options)]
            assert_close(kernels, definition, rtol=1e-4, atol=1e-5)


def test_narrow_lists_and_strides() -> None:
    x = torch.randn(40, 3, device=DEVICE).half().T
    assert not x.is_contiguous()
    narrow, wide = (results(soft_sort, each, "triton", temperature=0.5) for each in (x, x.float().contiguous()))
    assert_close(narrow, [wide[0], wide[1].half()])


def test_gradients_repeat_bit_for_bit() -> None:
    x = torch.randn(2, 60, device=DEVICE)
    first, second = (results(soft_sort, x, "triton", temperature=0.5) for _ in range(2))
    assert_close(first, second, rtol=0, atol=0)


def test_longer_lists_are_refused_or_merged_in_plain_torch() -> None:
    x = torch.randn(1, launch.LONGEST + 1, device=DEVICE)
    with pytest.raises(InputError, match=r'backend: "triton" cannot run: .* at most 2048 items, got 2049; use "auto"'):
        soft_sort(x, temperature=0.1, backend="triton")
    assert_close(soft_sort(x, temperature=1e-6), x.sort(descending=True).values)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
def test_operators_pass_torchs_checks(triton: bool) -> None:
    x = torch.randn(3, 9, device=DEVICE)
    torch.library.opcheck(library.blocks_op, (x, None, False, triton))
    torch.library.opcheck(library.blocks_op, (x, x.sin(), True, triton))
    blocks = library.blocks_op(x, None, False, triton)
    torch.library.opcheck(library.block_sum_op, (x.requires_grad_(), blocks, triton))
    torch.library.opcheck(library.order_op, (x.detach(),))


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("logarithmic", [True, False])
@pytest.mark.parametrize("of_ranks", [True, False])
def test_projection_on_a_cpu_passes_torchs_checks(of_ranks: bool, logarithmic: bool) -> None:
    x, mask = torch.randn(3, 20, requires_grad=True), torch.rand(3, 20) < 0.7
    torch.library.opcheck(projection_op, (x, mask, 0.2, of_ranks, logarithmic))


@pytest.mark.parametrize("backend", ["auto", "triton"])
def test_compiles_in_one_graph(backend: Any) -> None:
    torch.compiler.reset()
    x = torch.randn(3, 20, device=DEVICE)

    def loss(x: Tensor, backend: Any = backend) -> Tensor:
        regression = isotonic_regression(x * x, regularization="kl", backend=backend)
        return (soft_sort(x.sin(), temperature=0.3, backend=backend) * regression).sum()

    eager = x.clone().requires_grad_()
    compiled = x.clone().requires_grad_()
    value = torch.compile(loss, fullgraph=True, backend="aot_eager")(compiled)
    assert_close(value, loss(eager))
    assert_close(torch.autograd.grad(value, compiled)[0], torch.autograd.grad(loss(eager), eager)[0])
