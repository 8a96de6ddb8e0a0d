"""The spread of a list, and values measured in it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from rankgrad.ops import soft_rank, soft_sort
from rankgrad.ops._spread import in_deviations, standard_deviation

GARBAGE = [math.nan, math.inf, -math.inf, 3e38]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 1.5e38])
def test_deviation_at_any_scale(scale: float) -> None:
    """The squares of what lies 1e30 apart are infinite in float32, those of 1e-30 zero."""
    x = torch.tensor([[1.0, 2.0, -1.0, 0.5]]) * scale
    expected = x.double().std(dim=-1, correction=0, keepdim=True).float()
    assert_close(standard_deviation(x, torch.ones_like(x, dtype=torch.bool)), expected, rtol=1e-6, atol=0)


def test_gradient_is_the_derivative() -> None:
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26], [5.0, 0.1, 7.0, -3.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True, True], [True, True, False, True]])
    assert torch.autograd.gradcheck(lambda x: in_deviations(x, mask), x)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_not_counted_stays_and_has_no_say(garbage: float) -> None:
    kept = torch.tensor([1.0, 4.0, -2.0])
    for x, mask in (
        (torch.cat([kept, torch.tensor([garbage])]), torch.tensor([True, True, True, False])),
        (torch.cat([kept, torch.tensor([math.inf])]), torch.ones(4, dtype=torch.bool)),
    ):
        x.requires_grad_()
        value, deviation = in_deviations(x, mask)
        assert_close(value.detach()[:3], kept / kept.std(correction=0))
        assert_close(value.detach()[3:], x.detach()[3:], equal_nan=True)
        (gradient,) = torch.autograd.grad(value[:3] @ torch.tensor([1.0, 2.0, -1.0]) + deviation.sum(), x)
        assert gradient.isfinite().all()
        assert gradient[3] == 0


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("operator", [soft_rank, soft_sort])
def test_relative_operators_do_not_look_behind_the_mask(operator: object, garbage: float) -> None:
    x = torch.tensor([[1.0, 4.0, -2.0, garbage], [garbage] * 4], requires_grad=True)
    mask = torch.tensor([[True, True, True, False], [False] * 4])
    found = operator(x, temperature=0.5, mask=mask, relative=True)  # type: ignore[operator]
    short = x.detach()[:1, :3].requires_grad_()
    expected = operator(short, temperature=0.5, relative=True)  # type: ignore[operator]
    assert_close(found[:1, :3], expected)
    upstream = torch.tensor([1.0, -2.0, 0.5, 7.0])
    (gradient,) = torch.autograd.grad(found, x, upstream.expand(2, 4))
    assert_close(gradient[:1, :3], torch.autograd.grad(expected, short, upstream[None, :3])[0])
    assert torch.equal(gradient[0, 3:], torch.zeros(1))
    assert torch.equal(gradient[1], torch.zeros(4))


def test_lists_without_spread() -> None:
    x = torch.tensor([[2.0, 2.0], [math.inf, math.nan]], requires_grad=True)
    mask = torch.ones(2, 2, dtype=torch.bool)
    deviation = standard_deviation(x, mask)
    assert deviation.tolist() == [[1.0], [1.0]]
    assert torch.equal(torch.autograd.grad(deviation.sum(), x)[0], torch.zeros(2, 2))
    assert standard_deviation(torch.ones(3, 0), torch.ones(3, 0, dtype=torch.bool)).shape == (3, 1)
