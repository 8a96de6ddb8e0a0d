"""One tensor's value with another's gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops._straight_through import straight_through, straight_through_op


def test_value_is_bitwise_hard_and_the_gradient_the_soft_ones() -> None:
    """1 and 1e-8 do not add up in float32, -0 is not 0, and NaN is neither made nor lost."""
    hard = torch.tensor([1.0, -0.0, float("nan"), 1e30, 0.1, float("inf")])
    soft = torch.tensor([1e-8, 3.0, 1.0, float("nan"), 0.3, float("inf")], requires_grad=True)
    value = straight_through(hard, soft)
    assert torch.equal(value.detach().view(torch.int32), hard.view(torch.int32))
    upstream = torch.randn(6)
    assert torch.equal(torch.autograd.grad(value, soft, upstream)[0], upstream)


def test_hard_takes_no_gradient_and_dtypes_may_differ() -> None:
    hard = torch.ones(3, 2, requires_grad=True)
    soft = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    value = straight_through(hard, soft.t())
    assert value.dtype == torch.float32
    of_hard, of_soft = torch.autograd.grad(value.sum(), (hard, soft), allow_unused=True)
    assert of_hard is None
    assert_close(of_soft, torch.ones(2, 3, dtype=torch.float64))


def test_second_derivatives_pass() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    (first,) = torch.autograd.grad(straight_through(torch.ones(1), x**3), x, create_graph=True)
    assert torch.autograd.grad(first, x)[0].item() == 12.0


def test_as_an_operator() -> None:
    def call(x: Tensor) -> Tensor:
        soft = x.softmax(dim=-1)
        return straight_through((soft > 0.3).to(x.dtype), soft)

    x = torch.randn(2, 4, requires_grad=True)
    torch.compiler.reset()
    value = torch.compile(call, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(value, call(x))
    assert_close(*(torch.autograd.grad(result.square().sum(), x)[0] for result in (value, call(x))))
    assert call(x.detach().to("meta")).shape == (2, 4)
    torch.library.opcheck(straight_through_op, (torch.ones(2, 3).t(), torch.randn(3, 2, requires_grad=True)))


def test_an_exported_graph_holds_plain_operators() -> None:
    class Chosen(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return straight_through((x > 0).to(x.dtype), x.sigmoid())

    exported = torch.export.export(Chosen(), (torch.randn(3),))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)


def test_two_shapes_are_refused() -> None:
    with pytest.raises(InputError, match=r"hard: expected the shape of soft \[3\], got \[1\]"):
        straight_through(torch.ones(1), torch.ones(3))
