"""Perturbed ranks and sorting: their expectations in closed form, within the standard error of the samples."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank, perturbed

NOISES = ["gaussian", "gumbel"]
both_noises = pytest.mark.parametrize("noise", NOISES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def expected_ranks(x: Tensor, temperature: float, noise: str) -> Tensor:
    """``1 + sum_{j != i} P(j is above i)``: the difference of two gaussians is one, that of two Gumbels logistic."""
    differences = (x.unsqueeze(-2) - x.unsqueeze(-1)) / temperature
    above = torch.special.ndtr(differences / math.sqrt(2)) if noise == "gaussian" else differences.sigmoid()
    return 0.5 + above.sum(dim=-1)


def assert_estimates(estimates: Tensor, expected: Tensor) -> None:
    """Each row is one independent estimate; their mean lies within 5 standard errors."""
    error = estimates.std(dim=0) / math.sqrt(len(estimates))
    assert ((estimates.mean(dim=0) - expected).abs() <= 5 * error + 1e-6).all()


@both_noises
@pytest.mark.parametrize(("samples", "rows"), [(1, 8000), (2, 4000), (40, 400)])
def test_ranks_and_their_gradients_are_those_of_the_expectation(noise: Any, samples: int, rows: int) -> None:
    x, upstream = torch.tensor([0.3, -1.0, 1.2, 0.2], dtype=torch.float64), torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    exact = expected_ranks(x.requires_grad_(), 0.7, noise)
    gradient = torch.autograd.grad(exact, x, upstream)[0]
    # A masked item between the others must be nobody in all of this.
    copies = torch.cat([x[:2], torch.full((1,), math.nan), x[2:]]).detach().expand(rows, 5).clone().requires_grad_()
    mask = torch.tensor([True, True, False, True, True]).expand(rows, 5)
    spread_upstream = torch.cat([upstream[:2], torch.full((1,), math.nan), upstream[2:]]).expand(rows, 5)
    found = perturbed.ranks(copies, mask, 0.7, samples=samples, generator=seeded(), noise=noise)
    (estimates,) = torch.autograd.grad(found, copies, spread_upstream)
    kept = [0, 1, 3, 4]
    assert_estimates(found.detach()[:, kept], exact.detach())
    assert_estimates(estimates[:, kept], gradient)
    assert (found[:, 2] == 0).all()
    assert (estimates[:, 2] == 0).all()
    assert_close(found.sum(dim=1), torch.full((rows,), 10.0, dtype=torch.float64))
    assert_close(estimates.sum(dim=1), torch.zeros(rows, dtype=torch.float64))


@both_noises
def test_gradients_vary_less_than_by_the_plain_estimator(noise: Any) -> None:
    """The mean of ``<g, rank(x + T z) - rank(x)>`` times the score over T, as the paper has it."""
    x, upstream, rows, samples = torch.linspace(-1, 1, 10).double(), torch.linspace(-3, 2, 10).double().sin(), 300, 20
    copies = x.expand(rows, 10).clone().requires_grad_()
    found = perturbed.ranks(copies, None, 0.5, samples=samples, generator=seeded(), noise=noise)
    (ours,) = torch.autograd.grad(found, copies, upstream.expand(rows, 10))
    uniform = torch.rand(samples, rows, 10, dtype=torch.float64, generator=seeded(1))
    z = torch.special.ndtri(uniform) if noise == "gaussian" else -(-uniform.log()).log()
    score = z if noise == "gaussian" else 1 - (-z).exp()
    change = ((hard_rank(x + 0.5 * z) - hard_rank(x)) * upstream).sum(dim=-1, keepdim=True)
    plain = (change * score).mean(dim=0) / 0.5
    assert_close(ours.mean(dim=0), plain.mean(dim=0), rtol=0, atol=5 * float(plain.std(dim=0).max()) / math.sqrt(rows))
    assert float(ours.var(dim=0).mean()) < 0.2 * float(plain.var(dim=0).mean())


@both_noises
def test_sorted_values_of_two(noise: Any) -> None:
    """The mean of the greater of two noisy values; of Gumbel noise it is the logarithm of a sum of exponentials."""
    a, b, temperature, rows = 0.4, -0.1, 0.8, 2000
    if noise == "gaussian":
        distance = torch.tensor((a - b) / (math.sqrt(2) * temperature))
        density = math.exp(-(float(distance) ** 2) / 2) / math.sqrt(2 * math.pi)
        share = float(torch.special.ndtr(distance))
        high = a * share + b * (1 - share) + math.sqrt(2) * temperature * density
    else:
        high = temperature * math.log(math.exp(a / temperature) + math.exp(b / temperature))
    x = torch.tensor([math.nan, b, a], dtype=torch.float64).expand(rows, 3)
    mask = torch.tensor([False, True, True]).expand(rows, 3)
    found = perturbed.sorted_values(x, mask, temperature, samples=8, generator=seeded(), noise=noise)
    assert_estimates(found[:, :2], torch.tensor([high, a + b - high]))
    assert (found[:, 2] == 0).all()


@both_noises
@pytest.mark.parametrize("numbers", [1, 1 << 20])
def test_gradient_of_sorted_values_is_the_derivative(noise: Any, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether samples are drawn one by one or together, the backward pass meets the same ones."""
    monkeypatch.setattr(perturbed, "_NUMBERS", numbers)
    x = torch.tensor([[0.3, -1.0, 2.0, 0.26], [5.0, 0.1, 7.0, -3.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True, True], [True, True, False, True]])

    def call(x: Tensor) -> Tensor:
        return perturbed.sorted_values(x, mask, 0.8, samples=5, generator=seeded(), noise=noise)

    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.grad(call(x).sum(), x)[0].sum(dim=1).tolist() == pytest.approx([4.0, 3.0])


@pytest.mark.parametrize("operator", [perturbed.ranks, perturbed.sorted_values])
def test_one_state_of_the_generator_gives_one_result(operator: Any) -> None:
    x = torch.randn(2, 3, 9, requires_grad=True)

    def once(generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        result = operator(x, None, 0.5, samples=3, generator=generator)
        return result.detach(), torch.autograd.grad(result, x, torch.ones_like(x).cumsum(-1).sin())[0]

    first, again, other = once(seeded(3)), once(seeded(3)), once(seeded(4))
    torch.manual_seed(5)
    unsaid = once(None)
    torch.manual_seed(5)
    said = once(None)
    for value, same, different, early, late in zip(first, again, other, unsaid, said, strict=True):
        assert torch.equal(value, same)
        assert torch.equal(early, late)
        assert not torch.equal(value, different)
    strided = x.detach().transpose(0, 2).contiguous().transpose(0, 2)
    assert torch.equal(operator(strided, None, 0.5, samples=3, generator=seeded(3)), first[0])


@both_noises
def test_towards_temperature_zero_ranks_become_hard(noise: Any) -> None:
    x = torch.tensor([[3.0, -1.0, 2.0, 5.0, 2.0]], requires_grad=True)
    found = perturbed.ranks(x, None, 1 / 40, samples=400, generator=seeded(), noise=noise)
    assert found[0, [0, 1, 3]].tolist() == [2.0, 5.0, 1.0]
    # Equal values share the mean of their ranks in expectation, and exactly where the noise is lost in rounding.
    assert found[0, [2, 4]].tolist() == pytest.approx([3.5, 3.5], abs=0.1)
    assert perturbed.ranks(x, None, 1e-40, samples=3).tolist() == [[2.0, 5.0, 3.5, 1.0, 3.5]]
    apart = x[:, :4]
    (gradient,) = torch.autograd.grad(perturbed.ranks(apart, None, 1 / 40, samples=9, noise=noise)[0, 1], x)
    assert torch.equal(gradient, torch.zeros(1, 5))


@pytest.mark.parametrize("operator", [perturbed.ranks, perturbed.sorted_values])
def test_values_that_are_no_numbers(operator: Any) -> None:
    inf, nan = math.inf, math.nan
    x = torch.tensor([[1.0, nan, -inf, inf, 2.0], [1.0, 3.0, nan, 0.0, 9.0], [nan] * 5, [0.5] * 5], requires_grad=True)
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, True, False], [False] * 5, [True] * 5])
    found = operator(x, mask, 1e-3, samples=5, generator=seeded())
    (gradient,) = torch.autograd.grad(found, x, torch.arange(20.0).view(4, 5).sin())
    assert (found[2] == 0).all()
    assert found[1].isnan().tolist() == [True] * 4 + [False]
    assert found[[0, 3]].isfinite().all()
    assert gradient[~mask].tolist() == [0.0] * 7
    assert gradient[0, [1, 2, 3]].tolist() == [0.0] * 3
    assert gradient.isfinite().all()
    if operator is perturbed.ranks:
        assert found[0].tolist() == [3.0, 0.0, 4.0, 1.0, 2.0]
    else:
        assert found[0, 1:3].tolist() == pytest.approx([2.0, 1.0], abs=0.01)
        assert found[0, 4] == 0


@pytest.mark.parametrize("operator", [perturbed.ranks, perturbed.sorted_values])
@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (4, 1), (1,)])
def test_little_to_rank(operator: Any, shape: tuple[int, ...]) -> None:
    x = torch.ones(shape, dtype=torch.float16, requires_grad=True)
    found = operator(x, None, 1e-4, samples=2)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert (found.shape, found.dtype, gradient.dtype) == (x.shape, torch.float32, torch.float16)
    assert_close(found, torch.ones(shape), rtol=0, atol=1e-3)


@pytest.mark.parametrize("operator", [perturbed.ranks, perturbed.sorted_values])
def test_compiles_without_a_graph_break(operator: Any) -> None:
    def call(x: Tensor, mask: Tensor) -> Tensor:
        return operator(x, mask, 0.02, samples=3)

    x, mask = torch.tensor([[3.0, 1.0, 2.0], [4.0, 5.0, 9.0]], requires_grad=True), torch.ones(2, 3, dtype=torch.bool)
    torch.compiler.reset()
    value = torch.compile(call, fullgraph=True, backend="aot_eager")(x, mask)
    assert_close(value, call(x, mask), rtol=0, atol=0.2)
    torch.autograd.grad(value.sum(), x)
    assert call(x.detach().to("meta"), mask.to("meta")).shape == (2, 3)


@pytest.mark.parametrize("ranks", [True, False])
def test_operator_is_registered_as_torch_expects(ranks: bool) -> None:
    x, mask = torch.randn(2, 4, requires_grad=True), torch.rand(2, 4) < 0.8
    torch.library.opcheck(perturbed.perturbed_op, (x, mask, torch.tensor(7), 0.3, 3, True, ranks))


def test_there_are_no_kernels() -> None:
    with pytest.raises(InputError, match=r'soft_rank\(method="perturbed"\) has no Triton kernel'):
        perturbed.ranks(torch.ones(3), None, 1.0, samples=1, backend="triton")
    with pytest.raises(InputError, match=r'soft_sort\(method="perturbed"\) has no Triton kernel'):
        perturbed.sorted_values(torch.ones(3), None, 1.0, samples=1, backend="triton")
