"""Orders, sorted values and ranks by one kernel, interpreted on a CPU, against the definition in plain Python."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import hard_rank, soft_sort, sorted_order
from rankgrad.ops.ranking import ideal_order
from rankgrad.ops.sorted_order import api, launch, library

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOATS = [torch.float32, torch.float16, torch.bfloat16]
INTEGERS = [torch.int32, torch.int16, torch.int8, torch.uint8]
NAN, INFINITY = float("nan"), float("inf")
ODD_VALUES = [0.0, -0.0, 1.5, -2.0, INFINITY, -INFINITY, NAN]


def draw(n: int, dtype: torch.dtype) -> Tensor:
    """Lists with ties, of numbers that also have the least and the most bits set."""
    if dtype.is_floating_point:
        return torch.tensor(ODD_VALUES)[torch.randint(len(ODD_VALUES), (2, 2, n))].to(DEVICE, dtype)
    ends = torch.iinfo(dtype)
    return torch.tensor([ends.min, ends.max, 0, 1])[torch.randint(4, (2, 2, n))].to(DEVICE, dtype)


def expected_order(values: list[float], real: list[bool], descending: bool) -> list[int]:
    """Python's sort is stable."""
    sign = -1 if descending else 1

    def key(place: int) -> tuple[bool, bool, float]:
        value = values[place]
        if not real[place]:
            return True, False, 0
        unknown = math.isnan(value)
        return False, unknown != descending, 0 if unknown else sign * value

    return sorted(range(len(values)), key=key)


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("backend", ["triton", "reference"])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_definition(dtype: torch.dtype, descending: bool, backend: Any) -> None:
    for n in (1, 7, 33):
        x, mask = draw(n, dtype), torch.rand(2, 2, n, device=DEVICE) < 0.7
        for real in (None, mask):
            values, order = sorted_order.sorted_lists(x, real, descending=descending, backend=backend)
            wanted = [
                expected_order(one, there, descending)
                for one, there in zip(x.view(-1, n).tolist(), (mask | (real is None)).view(-1, n).tolist(), strict=True)
            ]
            assert order.view(-1, n).tolist() == wanted
            assert torch.equal(order, sorted_order.order(x, real, descending=descending, backend=backend))
            # Bit for bit: -0 stays -0.
            whole = {1: torch.int8, 2: torch.int16, 4: torch.int32}[x.element_size()]
            assert torch.equal(values.view(whole), x.gather(-1, order).view(whole))


@pytest.mark.usefixtures("nan_filled_memory")
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_ranks_are_hard_ranks(dtype: torch.dtype) -> None:
    for n, descending in ((1, True), (9, False), (40, True)):
        x, mask = draw(n, dtype), torch.rand(2, 2, n, device=DEVICE) < 0.7
        x[0].masked_fill_(x[0].isnan(), 0.5)
        for real in (None, mask):
            found = sorted_order.ranks(x, real, descending=descending, backend="triton")
            assert_close(found, hard_rank(x, mask=real, descending=descending), rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the kernel is launched with from here on."""
    found: list[Any] = []
    launched = launch._launch

    def counted(*operands: Any, **options: Any) -> None:
        found.append(operands)
        launched(*operands, **options)

    monkeypatch.setattr(launch, "_launch", counted)
    return found


def test_public_functions_take_the_kernel_where_it_runs(launches: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([[2.0, NAN, -0.0, 0.0], [1.0, 3.0, 3.0, 9.0]], device=DEVICE)
    mask = torch.tensor([True, True, True, False], device=DEVICE).expand(2, 4)
    labels = torch.tensor([1, 3, 0, 3], dtype=torch.int32, device=DEVICE)
    monkeypatch.setattr(api, "resolve_backend", lambda *_, **__: "triton")
    ranks = hard_rank(x, mask=mask)
    assert_close(ranks.cpu(), torch.tensor([[NAN, NAN, NAN, 0], [3.0, 1, 2, 0]]), equal_nan=True)
    assert ideal_order(labels).tolist() == [1, 3, 0, 2]
    assert len(launches) == 2
    with pytest.raises(TypeError, match="floating-point"):
        hard_rank(labels)


@pytest.mark.parametrize("method", ["isotonic", "laplace", "softsort", "neuralsort", "sinkhorn", "network"])
def test_soft_sorts_take_the_kernel(method: Any, operators: Any, launches: list[Any]) -> None:
    x, mask = torch.randn(1, 5, device=DEVICE), torch.tensor([[True, False, True, True, True]], device=DEVICE)
    with operators() as seen:
        soft_sort(x, mask=mask, temperature=0.3, method=method, backend="triton")
    assert len(launches) == 1
    assert not {name for name in seen.names if name.startswith(("aten.sort", "aten.argsort"))}


def test_the_gradient_goes_back_to_its_place() -> None:
    x = torch.randn(3, 12, device=DEVICE)[:, ::2].requires_grad_()
    upstream = torch.randn(3, 6, device=DEVICE)
    values, order = sorted_order.sorted_lists(x, backend="triton")
    gradient = torch.autograd.grad(values, x, upstream)[0]
    assert_close(gradient.gather(-1, order), upstream, rtol=0, atol=0)


def test_lists_that_no_program_holds_are_sorted_by_torch() -> None:
    long, wide = torch.randn(2, launch.LONGEST + 1, device=DEVICE), torch.randn(2, 9, device=DEVICE).double()
    for x in (long, wide, wide.long(), wide[:, :0]):
        assert not sorted_order.kernels_run(x, "triton")
        values, order = sorted_order.sorted_lists(x, backend="triton")
        expected = x.sort(dim=-1, descending=True, stable=True)
        assert torch.equal(values, expected.values)
        assert torch.equal(order, expected.indices)


def test_a_long_list_and_no_list() -> None:
    x = torch.randn(1, 1100, device=DEVICE).mul(20).round()
    order = sorted_order.order(x, descending=False, backend="triton")
    assert torch.equal(order, x.argsort(dim=-1, stable=True))
    assert sorted_order.ranks(x[:0], backend="triton").shape == (0, 1100)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_operators_pass_torchs_checks() -> None:
    x, mask = torch.randn(3, 9, device=DEVICE), torch.rand(3, 9, device=DEVICE) < 0.7
    torch.library.opcheck(library.sorted_lists_op, (x.clone().requires_grad_(), None, True))
    torch.library.opcheck(library.sorted_lists_op, (x.half(), mask, False))
    torch.library.opcheck(library.ranks_op, (x, mask, True))


def test_compiles_in_one_graph() -> None:
    torch.compiler.reset()
    x, mask = torch.randn(3, 9, device=DEVICE), torch.rand(3, 9, device=DEVICE) < 0.7

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        values, _ = sorted_order.sorted_lists(x.sin(), mask, backend="triton")
        return values, sorted_order.ranks(x, mask, backend="triton")

    assert_close(torch.compile(both, fullgraph=True, backend="aot_eager")(x), both(x))
