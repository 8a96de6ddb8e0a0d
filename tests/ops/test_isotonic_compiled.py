"""The compiled loops of soft ranks and sorted values give what the passes in numpy give, or leave the lists to them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops import soft_rank, soft_sort
from rankgrad.ops.isotonic import cpu_projection

pytest.importorskip("numba", reason='the loops need numba: pip install "rankgrad[cpu]"')

OPERATORS = (soft_rank, soft_sort)
REGULARIZATIONS = ("l2", "kl")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call of the loops did the work."""
    found = []
    for name in ("_compiled_forward", "_compiled_backward"):
        call = getattr(cpu_projection, name)

        def counted(*arguments: Any, call: Any = call) -> Any:
            result = call(*arguments)
            found.append(result is not None)
            return result

        monkeypatch.setattr(cpu_projection, name, counted)
    return found


def value_and_gradient(operator: Any, x: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    value = operator(leaf, method="isotonic", **options)
    return value.detach(), torch.autograd.grad(value, leaf, torch.arange(x.numel()).view_as(x).cos())[0]


def without_loops(operator: Any, x: Tensor, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Tensor, Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr(cpu_projection, "_loops", lambda: None)
        return value_and_gradient(operator, x, **options)


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("temperature", [1e-3, 0.3, 20.0])
def test_agrees_with_numpy(
    temperature: float, operator: Any, regularization: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"temperature": temperature, "regularization": regularization}
    for n in (1, 2, 17, 300):
        x = 3 * torch.randn(5, n)
        x[1], x[2] = x[1].round(), -0.0
        x[2, ::2] = 0.0
        mask = torch.rand(5, n) < 0.7
        mask[3], mask[4] = False, True
        for some in (None, mask):
            found = value_and_gradient(operator, x, mask=some, **options)
            assert taken[-2:] == [True, True]
            for one, other in zip(found, without_loops(operator, x, monkeypatch, mask=some, **options), strict=True):
                assert_close(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("worst", [float("inf"), float("-inf"), float("nan"), 3e38, None])
def test_what_needs_care_is_left_to_numpy(
    worst: float | None, operator: Any, regularization: str, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(3, 9)
    x = x.double() if worst is None else x
    if worst is not None:
        x[1, 4] = worst
    found = value_and_gradient(operator, x, temperature=0.5, regularization=regularization)
    assert taken[0] is False
    expected = without_loops(operator, x, monkeypatch, temperature=0.5, regularization=regularization)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, equal_nan=True)


@pytest.mark.parametrize("regularization", REGULARIZATIONS)
def test_an_infinite_item_takes_its_end_of_a_list_without_a_mask(regularization: Any) -> None:
    x = torch.randn(9)
    finite = soft_rank(x[1:], method="isotonic", temperature=0.5, regularization=regularization)
    ends = [(float("-inf"), 9.0, 0.0)]
    if regularization == "l2":  # that of entropy depends on ratios of ranks
        ends.append((float("inf"), 1.0, 1.0))
    for infinite, place, shift in ends:
        x[0] = infinite
        found = soft_rank(x, method="isotonic", temperature=0.5, regularization=regularization)
        assert_close(found, torch.cat([torch.tensor([place]), finite + shift]))


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_masked_value_does_not_matter(operator: Any, taken: list[bool]) -> None:
    x, mask = torch.randn(2, 6), torch.tensor([True, True, False, True, True, False]).expand(2, 6)
    expected = value_and_gradient(operator, x, mask=mask, temperature=1.0)
    for wrong in (float("nan"), float("inf"), 3e38):
        found = value_and_gradient(operator, x.masked_fill(~mask, wrong), mask=mask, temperature=1.0)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)
    assert all(taken)
