"""Reverse log-cumulative sums of exponentials and segment sums: the definitions, their gradients and the operators."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops.scans import cpu, launch, library, recurrence, reference, reverse_logcumsumexp, segment_sum

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INF, NAN = float("inf"), float("nan")
PATHS = ["triton", "triton in blocks", "one sum", "blocks"]


@pytest.fixture(params=PATHS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to the result, on lists of a test's size."""
    if request.param == "triton in blocks":
        monkeypatch.setattr(launch, "_LONGEST_BLOCK", 16)
    if request.param == "blocks":
        monkeypatch.setattr(cpu, "_WIDEST", -1.0)
        monkeypatch.setattr(recurrence, "_SHORTEST_BLOCK", 3)
    return "triton" if request.param in PATHS[:2] else "auto"


def value_and_gradient(x: Tensor, mask: Tensor | None, backend: Any) -> list[Tensor]:
    x = x.detach().to(DEVICE).requires_grad_()
    mask = None if mask is None else mask.to(DEVICE)
    value = reverse_logcumsumexp(x, mask=mask, backend=backend)
    upstream = torch.linspace(-9, 18, value.numel(), device=DEVICE).sin().to(value.dtype).view(value.shape)
    if mask is not None:
        upstream = upstream.masked_fill(~mask, NAN)
    return [value.detach().cpu(), torch.autograd.grad(value, x, upstream)[0].cpu()]


@pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
def test_definition(backend: Any) -> None:
    x = [0.3, -1.0, 50.0, 0.25, -800.0]
    expected = [max(x[i:]) + math.log(sum(math.exp(later - max(x[i:])) for later in x[i:])) for i in range(len(x))]
    assert_close(reverse_logcumsumexp(torch.tensor(x).to(DEVICE), backend=backend).cpu(), torch.tensor(expected))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_every_path_agrees_with_the_definition(backend: str, masked: bool, scale: float) -> None:
    for shape in [(1,), (2, 3, 5), (3, 40)]:
        x, mask = torch.randn(shape) * scale, torch.rand(shape) < 0.7
        x[..., -1] = x[..., 0] = -INF
        given = mask if masked else None
        found = value_and_gradient(x.masked_fill(~mask, NAN) if masked else x, given, backend)
        expected = value_and_gradient(x.double(), given, "reference")
        assert_close(found[0].double(), expected[0], rtol=1e-6, atol=1e-6)
        assert_close(found[1].double(), expected[1], rtol=1e-4, atol=1e-5)


def test_infinite_and_unknown_values(backend: str) -> None:
    x = torch.tensor([[0.0, INF, 1.0, -INF], [0.0, NAN, 1.0, 1.0], [-INF] * 4, [1.0, 2.0, -INF, -INF]])
    value, gradient = value_and_gradient(x, None, backend)
    both = 2 + math.log1p(math.exp(-1))
    expected = [[INF, INF, 1.0, -INF], [NAN, NAN, 1 + math.log(2), 1.0], [-INF] * 4, [both, 2.0, -INF, -INF]]
    assert_close(value, torch.tensor(expected), equal_nan=True)
    reference = value_and_gradient(x, None, "reference")[1]
    assert_close(gradient[[0, 2, 3]], reference[[0, 2, 3]])
    assert (gradient[0, :2] == 0).all()
    assert gradient[[0, 2, 3]].isfinite().all()


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_gradient_is_the_derivative(backend: Any) -> None:
    x, mask = torch.randn(3, 6, dtype=torch.float64, requires_grad=True), torch.rand(3, 6) < 0.7
    for scale in (1.0, 400.0):
        assert torch.autograd.gradcheck(lambda x: reverse_logcumsumexp(x * scale, mask=mask, backend=backend), x)  # noqa: B023
    assert torch.autograd.gradgradcheck(lambda x: reverse_logcumsumexp(x, mask=mask, backend="reference"), x)


def test_plackett_luce_likelihoods_sum_to_one() -> None:
    """The probabilities of all orders of four items."""
    x = torch.randn(4, dtype=torch.float64)
    orders = torch.cartesian_prod(*[torch.arange(4)] * 4)
    orders = orders[(orders.sort(dim=-1).values == torch.arange(4)).all(dim=-1)]
    taken = x[orders]
    assert float((taken - reverse_logcumsumexp(taken)).sum(dim=-1).exp().sum()) == pytest.approx(1.0)


def test_long_lists_keep_their_digits() -> None:
    x = torch.zeros(1_000_000)
    expected = torch.arange(1_000_000, 0, -1, dtype=torch.float64).log()
    assert_close(reverse_logcumsumexp(x).double(), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3)])
@pytest.mark.parametrize("backend", ["auto", "reference", "triton"])
def test_nothing_to_add(shape: tuple[int, ...], backend: Any) -> None:
    x = torch.ones(shape, dtype=torch.bfloat16, device=DEVICE, requires_grad=True)
    value = reverse_logcumsumexp(x, backend=backend)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert (value.shape, value.dtype, gradient.dtype) == (shape, torch.float32, torch.bfloat16)


OFFSETS = torch.tensor([0, 2, 2, 9, 9], dtype=torch.int32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("tail", [(), (3,), (2, 2), (0,)])
def test_segment_sums(dtype: torch.dtype, tail: tuple[int, ...]) -> None:
    x = torch.randn(9, *tail).to(dtype).requires_grad_()
    value = segment_sum(x, OFFSETS)
    expected = torch.stack([x.double()[start:end].sum(dim=0) for start, end in ((0, 2), (2, 2), (2, 9), (9, 9))])
    assert value.dtype == torch.promote_types(dtype, torch.float32)
    assert_close(value, expected.to(value.dtype))
    weights = torch.arange(4.0).view(4, *[1] * len(tail)).expand(value.shape)
    gradient, expected_gradient = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (value, expected))
    assert_close(gradient, expected_gradient)


def test_segment_sum_is_differentiable_any_number_of_times() -> None:
    x = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: segment_sum(x, OFFSETS), x)
    assert torch.autograd.gradgradcheck(lambda x: segment_sum(x, OFFSETS), x)


def test_segments_do_not_touch_each_other() -> None:
    """Differences of cumulative sums would lose the small segment, and spread the NaN."""
    x = torch.tensor([1e30, -3.0, NAN, 1e-20])
    assert_close(
        segment_sum(x, torch.arange(5, dtype=torch.int32)), torch.tensor([1e30, -3.0, NAN, 1e-20]), equal_nan=True
    )
    million = torch.full((1_000_000,), 0.1)
    assert float(segment_sum(million, torch.tensor([0, 1_000_000], dtype=torch.int32))) == pytest.approx(1e5, rel=1e-7)


@pytest.mark.parametrize("sums", [library.segment_sum_op, reference.segment_sum], ids=["operator", "reference"])
def test_rows_of_no_segment_count_for_nothing(sums: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets on a device are not looked at."""
    monkeypatch.setattr(library, "check_offsets", lambda *_: None)
    x = torch.cat([torch.full((2, 3), NAN), torch.randn(9, 3), torch.full((4, 3), NAN)]).to(DEVICE).requires_grad_()
    value = sums(x, (OFFSETS + 2).to(DEVICE))
    expected = torch.stack([x[2 + start : 2 + end].sum(dim=0) for start, end in ((0, 2), (2, 2), (2, 9), (9, 9))])
    assert_close(value, expected)
    weights = torch.arange(12.0, device=DEVICE).view(4, 3)
    gradient, expected_gradient = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (value, expected))
    assert_close(gradient, expected_gradient)


def test_offsets_that_fall_or_leave_the_rows_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "check_offsets", lambda *_: None)
    x = torch.arange(1.0, 6.0, device=DEVICE).requires_grad_()
    value = segment_sum(x, torch.tensor([-3, 2, 1, 4, 900], dtype=torch.int32, device=DEVICE))
    assert value.tolist() == [3.0, 0.0, 7.0, 5.0]
    (gradient,) = torch.autograd.grad(value, x, torch.tensor([1.0, 2.0, 3.0, 4.0], device=DEVICE))
    assert gradient.tolist() == [1.0, 1.0, 3.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("x", "offsets", "error", "message"),
    [
        (torch.ones(3), torch.tensor([0, 3]), TypeError, r"cu_seqlens: expected int32, got torch.int64; .*\.int\(\)"),
        (torch.ones(3, dtype=torch.int32), torch.tensor([0, 3]).int(), TypeError, r"x: expected a floating-point"),
        (torch.tensor(1.0), torch.tensor([0, 1]).int(), InputError, r"x: expected rows on the first axis"),
        (
            torch.ones(3),
            torch.tensor([[0, 3]]).int(),
            InputError,
            r"cu_seqlens: expected \[segments \+ 1\], got \[1, 2\]",
        ),
        (
            torch.ones(3),
            torch.tensor([1, 3]).int(),
            InputError,
            r"cu_seqlens: expected to go from 0 to 3, .*got 1 to 3",
        ),
        (
            torch.ones(3),
            torch.tensor([0, 2]).int(),
            InputError,
            r"cu_seqlens: expected to go from 0 to 3, .*got 0 to 2",
        ),
        (torch.ones(3), torch.tensor([0, 2, 1, 3]).int(), InputError, r"cu_seqlens: expected to never fall"),
        (torch.ones(3, device="meta"), torch.tensor([0, 3]).int(), InputError, r"cu_seqlens: expected it on meta"),
    ],
)
def test_what_does_not_fit_is_named(x: Tensor, offsets: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        segment_sum(x, offsets)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("triton", [True, False], ids=["triton", "cpu"])
def test_operators_pass_torchs_checks(triton: bool) -> None:
    x = torch.randn(3, 9, device=DEVICE if triton else "cpu").half().requires_grad_()
    torch.library.opcheck(library.reverse_logcumsumexp_op, (x, triton))
    torch.library.opcheck(library.segment_sum_op, (x.detach().T.requires_grad_(), OFFSETS.to(x.device)))


class Normalisers(torch.nn.Module):
    def forward(self, x: Tensor, mask: Tensor, offsets: Tensor) -> Tensor:
        return segment_sum(reverse_logcumsumexp(x, mask=mask), offsets)


def test_compiles_in_one_graph_and_exports() -> None:
    x, mask, offsets = torch.randn(9, 4), torch.rand(9, 4) < 0.7, OFFSETS
    expected = Normalisers()(x, mask, offsets)
    torch.compiler.reset()
    assert_close(torch.compile(Normalisers(), fullgraph=True, backend="aot_eager")(x, mask, offsets), expected)
    axes = {0: torch.export.Dim("rows"), 1: torch.export.Dim("items", min=2)}
    exported = torch.export.export(Normalisers(), (x, mask, offsets), dynamic_shapes=(axes, axes, None))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    assert_close(exported.module()(x, mask, offsets), expected)
