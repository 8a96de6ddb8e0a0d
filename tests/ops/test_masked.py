"""Reductions over real items."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import masked_log_softmax, masked_logsumexp, masked_mean, masked_softmax, safe_reduce

lists = st.lists(st.tuples(st.floats(-20, 20, width=32), st.booleans()), min_size=1, max_size=10)
SCATTERED = [(masked_softmax, torch.softmax), (masked_log_softmax, torch.log_softmax)]
REDUCED = [(masked_logsumexp, torch.logsumexp), (masked_mean, torch.mean)]


@pytest.mark.parametrize(("masked", "plain"), SCATTERED + REDUCED)
@settings(deadline=None)
@given(items=lists.filter(lambda items: any(real for _, real in items)))
def test_equals_the_plain_function_of_the_real_items(
    masked: Callable[..., Tensor], plain: Callable[..., Tensor], items: list[tuple[float, bool]]
) -> None:
    x, mask = map(torch.tensor, zip(*items, strict=True))
    expected = plain(x[mask], dim=-1)
    result = masked(x, mask)
    if (masked, plain) in SCATTERED:
        assert (result[~mask] == 0).all()
        result = result[mask]
    assert_close(result, expected)


def test_logsumexp_of_real_items_that_are_all_minus_infinity_has_zero_gradient() -> None:
    x = torch.full((3,), float("-inf"), requires_grad=True)
    total = masked_logsumexp(x)
    total.backward()
    assert float(total.detach()) == float("-inf")
    assert_close(x.grad, torch.zeros(3))


def test_safe_reduce() -> None:
    values = torch.tensor([1.0, float("nan"), 4.0])
    valid = torch.tensor([True, False, True])
    assert_close(safe_reduce(values, valid, "none"), torch.tensor([1.0, 0.0, 4.0]))
    assert_close(safe_reduce(values, valid, "sum"), torch.tensor(5.0))
    assert_close(safe_reduce(values, valid, "mean"), torch.tensor(2.5))
    assert_close(safe_reduce(values, torch.zeros(3, dtype=torch.bool)), torch.tensor(0.0))
    assert safe_reduce(values).isnan()
    with pytest.raises(InputError, match='reduction: expected "mean", "sum" or "none", got \'max\''):
        safe_reduce(values, valid, "max")  # pyright: ignore[reportArgumentType]
