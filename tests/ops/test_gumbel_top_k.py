"""Relaxed sampling without replacement: the definition, and the probabilities of being drawn."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops._noise import draw_seed, gumbel_noise
from rankgrad.ops.gumbel_top_k import weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(x: Tensor, samples: int, seed: int = 0) -> Tensor:
    return x + gumbel_noise(draw_seed(seeded(seed)), x, samples)


def softmaxes(logits: Tensor, k: int, temperature: float) -> Tensor:
    """The paper's sum of k successive softmaxes."""
    total = torch.zeros_like(logits)
    for _ in range(k):
        share = (logits / temperature).softmax(dim=-1)
        total, logits = total + share, logits + torch.log1p(-share)
    return total


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_one_item_is_a_softmax(temperature: float) -> None:
    x = torch.randn(3, 8)
    expected = (noisy(x, 5) / temperature).softmax(dim=-1).mean(dim=0)
    assert_close(weights(x, None, 1, temperature, generator=seeded(), samples=5), expected)


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_definition(k: int, temperature: float) -> None:
    """``min(1, c a)`` of the paper's sum a, with the c found by trying how many get 1."""
    x = torch.randn(150, 9, dtype=torch.float64)
    amounts = softmaxes(noisy(x, 1)[0], k, temperature)
    assert (amounts > 1).any()
    for row, found in zip(amounts, weights(x, None, k, temperature, generator=seeded()), strict=True):
        ordered = row.sort(descending=True).values
        tries = [(k - full) / float(ordered[full:].sum()) for full in range(k)]
        factor = next(factor for full, factor in enumerate(tries) if factor * float(ordered[full]) <= 1 + 1e-12)
        assert_close(found, (factor * row).clamp(max=1.0))


def test_towards_temperature_zero_items_are_drawn_without_replacement() -> None:
    """The probability of each pair, enumerated: first i, then j from what is left."""
    x, rows = torch.tensor([1.0, 0.0, -0.5, 0.3], dtype=torch.float64), 20_000
    odds = x.exp()
    expected = torch.zeros(4, dtype=torch.float64)
    for first, second in itertools.permutations(range(4), 2):
        chance = odds[first] / odds.sum() * odds[second] / (odds.sum() - odds[first])
        expected[first] += chance
        expected[second] += chance
    found = weights(x.expand(rows, 4), None, 2, 1e-4, generator=seeded())
    assert (found.min(dim=1).values < 1e-6).all()
    error = (expected * (1 - expected) / rows).sqrt()
    assert ((found.mean(dim=0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("temperature", [1e-40, 1e-3, 0.5, 30.0, 1e5])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_weights_are_between_0_and_1_and_sum_to_k(temperature: float, scale: float) -> None:
    x, mask = (torch.randn(30, 12) * scale).requires_grad_(), torch.rand(30, 12) < 0.9
    found = weights(x, mask, 5, temperature, generator=seeded(), samples=2)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found[~mask] == 0).all()
    assert_close(found.sum(dim=-1), mask.sum(dim=-1).clamp(max=5).float(), rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(found, x, torch.randn(30, 12))
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_gradient_is_the_derivative(temperature: float) -> None:
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(3, 6) < 0.9
    assert torch.autograd.gradcheck(
        lambda x: weights(x, mask, 3, temperature, generator=seeded(), samples=2), x, check_undefined_grad=False
    )


def test_values_that_are_no_numbers() -> None:
    inf, nan = math.inf, math.nan
    rows = [
        ([1.0, inf, -inf, inf, nan], [True, True, True, True, False], [0.0, 1.0, 0.0, 1.0, 0.0]),
        ([3.0, -inf, nan, nan, 1e9], [True, True, False, False, False], [1.0, 1.0, 0.0, 0.0, 0.0]),
        ([3.0, nan, nan, nan, 1e9], [True, False, False, False, False], [1.0, 0.0, 0.0, 0.0, 0.0]),
        ([1.0, nan, 2.0, 3.0, nan], [True, True, True, True, False], [nan, nan, nan, nan, 0.0]),
        ([nan, inf, -inf, 1e9, 0.0], [False] * 5, [0.0] * 5),
    ]
    x, mask, expected = (torch.tensor(column) for column in zip(*rows, strict=True))
    x.requires_grad_()
    found = weights(x, mask, 2, 0.1, generator=seeded())
    assert_close(found, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(found, x, torch.arange(25.0).view(5, 5).sin())
    assert gradient.isfinite().all()
    assert (gradient[~mask | ~x.isfinite()] == 0).all()


def test_one_state_of_the_generator_gives_one_result() -> None:
    x: Any = torch.randn(4, 7)
    first, again, other = (weights(x, None, 3, 0.5, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    strided = x.t().contiguous().t()
    assert torch.equal(weights(strided, None, 3, 0.5, generator=seeded(1)), first)


@pytest.mark.parametrize(("k", "expected"), [(0, 0.0), (5, 1.0), (9, 1.0)])
def test_none_and_all(k: int, expected: float) -> None:
    x = torch.randn(2, 5, requires_grad=True)
    found = weights(x, None, k, 1.0)
    assert torch.equal(found.detach(), torch.full((2, 5), expected))
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.zeros(2, 5))


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (2, 1), (3,)])
def test_little_to_choose_from(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, dtype=torch.float16, requires_grad=True)
    found = weights(x, None, 1, 1.0)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)


def test_compiles_without_a_graph_break() -> None:
    x, mask = (torch.randn(3, 6) * 1e3).requires_grad_(), torch.rand(3, 6) < 0.9
    torch.compiler.reset()
    compiled = torch.compile(lambda x, mask: weights(x, mask, 2, 1e-3), fullgraph=True, backend="aot_eager")
    value = compiled(x, mask)
    # Far apart, whatever the noise.
    assert_close(value, weights(x, mask, 2, 1e-3))
    torch.autograd.grad(value.sum(), x)
    assert weights(x.detach().to("meta"), mask.to("meta"), 2, 1e-3).shape == (3, 6)
    torch.library.opcheck(gumbel_noise, (torch.tensor(3), torch.randn(2, 3), 4))


@pytest.mark.parametrize(
    ("k", "message"), [(-1, "k: expected a number of at least 0, got -1"), (1.5, "k: expected a whole number, as")]
)
def test_what_does_not_fit_is_named(k: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        weights(torch.ones(3), None, k, 1.0)
