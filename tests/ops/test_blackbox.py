"""Blackbox ranks: the worked values of the paper's formula, and its laws."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import blackbox

values = st.lists(st.integers(-6, 6), min_size=1, max_size=12).map(lambda x: torch.tensor(x, dtype=torch.float64))


def gradient_of(x: Tensor, upstream: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(blackbox.ranks(x, mask, temperature), x, upstream)[0]


@pytest.mark.parametrize(
    ("temperature", "expected"), [(0.5, [0.0, 0.0, 0.0]), (1.5, [0.0, -2 / 3, 2 / 3]), (3.0, [1 / 3, -2 / 3, 1 / 3])]
)
def test_worked_values(temperature: float, expected: list[float]) -> None:
    """Item 1 moves from 1 to 1 + temperature, past 2 from temperature 1 on, past 3 from 2 on."""
    x = torch.tensor([3.0, 1.0, 2.0])
    assert blackbox.ranks(x, None, temperature).tolist() == [1.0, 3.0, 2.0]
    assert_close(gradient_of(x, torch.tensor([0.0, 1.0, 0.0]), temperature), torch.tensor(expected))


@settings(deadline=None)
@given(values, st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_definition(x: Tensor, temperature: float, random: object) -> None:
    upstream = torch.tensor([random.choice([-1.5, -0.25, 0.0, 0.7, 2.0]) for _ in x], dtype=torch.float64)  # type: ignore[attr-defined]
    assert_close(blackbox.ranks(x, None, temperature), torch.from_numpy(rankdata(-x.numpy())))
    moved = rankdata(-(x + temperature * upstream).numpy())
    found = gradient_of(x, upstream, temperature)
    assert_close(found, torch.from_numpy((moved - rankdata(-x.numpy())) / temperature))
    assert float(found.sum()) == pytest.approx(0.0, abs=1e-9)
    # Along the gradient the linear loss rises: its own minimiser moves against the upstream gradient.
    assert float(found @ upstream) <= 1e-9


def test_a_step_against_the_gradient_raises_what_is_to_rank_first() -> None:
    x = torch.tensor([0.0, 0.3, 0.6, 0.9], requires_grad=True)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(blackbox.ranks(x, None, 1.0)[0], x)
        x = (x - 0.05 * gradient).detach().requires_grad_()
    assert blackbox.ranks(x, None, 1.0)[0] == 1.0


def test_values_that_are_no_numbers() -> None:
    inf, nan = math.inf, math.nan
    x = torch.tensor([[1.0, nan, -inf, inf, inf], [1.0, 3.0, nan, 0.0, 9.0], [nan] * 5], requires_grad=True)
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, True, False], [False] * 5])
    found = blackbox.ranks(x, mask, 2.0)
    expected = torch.tensor([[3.0, 0.0, 4.0, 1.5, 1.5], [nan, nan, nan, nan, 0.0], [0.0] * 5])
    assert_close(found, expected, equal_nan=True)
    upstream = torch.full_like(x, nan).where(~mask, torch.arange(15.0).view(3, 5))
    (gradient,) = torch.autograd.grad(found, x, upstream)
    assert gradient.isfinite().all()
    assert gradient[~mask].tolist() == [0.0] * 7
    assert gradient[0, 2:].tolist() == [0.0] * 3


@pytest.mark.parametrize("temperature", [1e-40, 1e40])
def test_temperatures_beyond_float32(temperature: float) -> None:
    found = gradient_of(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]), temperature)
    assert found.isfinite().all()


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 1)])
def test_little_to_rank(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.bfloat16, requires_grad=True)
    found = blackbox.ranks(x, None, 1.0)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, torch.bfloat16)
    assert_close(found, torch.ones(shape))


def test_as_an_operator() -> None:
    x, mask = torch.randn(2, 5, requires_grad=True), torch.rand(2, 5) < 0.8

    def call(x: Tensor, mask: Tensor) -> Tensor:
        return (blackbox.ranks(x, mask, 3.0) * torch.arange(5.0, device=x.device)).square().sum(dim=-1)

    torch.compiler.reset()
    value = torch.compile(call, fullgraph=True, backend="aot_eager")(x, mask)
    assert_close(value, call(x, mask))
    assert_close(*(torch.autograd.grad(result.sum(), x)[0] for result in (value, call(x, mask))))
    assert call(x.detach().to("meta"), mask.to("meta")).shape == (2,)
    torch.library.opcheck(blackbox.blackbox_rank_op, (x, mask, 0.7))
    strided = x.detach().t().contiguous().t()
    assert torch.equal(blackbox.ranks(strided, mask, 1.0), blackbox.ranks(x, mask, 1.0))


def test_an_exported_graph_holds_plain_operators() -> None:
    class Ranks(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return blackbox.ranks(x, None, 1.0)

    x = torch.tensor([[0.5, 2.0, 2.0]])
    exported = torch.export.export(Ranks(), (x,))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    assert exported.module()(x).tolist() == [[3.0, 1.5, 1.5]]


def test_there_is_no_kernel() -> None:
    with pytest.raises(InputError, match=r'soft_rank\(method="blackbox"\) has no Triton kernel'):
        blackbox.ranks(torch.ones(3), None, 1.0, backend="triton")
