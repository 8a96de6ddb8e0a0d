"""Sinkhorn normalisation of a matrix: the definition, its gradient, and the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import sinkhorn
from rankgrad.ops.sinkhorn import stochastic_library
from rankgrad.ops.sinkhorn.scaling import scaled, scaling

MASK = torch.tensor([[True] * 5, [True, True, False, True, False], [False] * 5])


def normalised(logits: Any, iterations: int) -> Tensor:
    found = log_softmax(np.asarray(logits, dtype=np.float64), axis=-1)
    for _ in range(iterations):
        found = log_softmax(log_softmax(found, axis=-2), axis=-1)
    return torch.tensor(np.exp(found))


@pytest.mark.parametrize("iterations", [0, 1, 4, 200])
def test_definition(iterations: int) -> None:
    logits = 3 * torch.randn(2, 3, 6, 6)
    found = sinkhorn.doubly_stochastic(logits, iterations=iterations)
    assert_close(found.double(), normalised(logits, iterations), rtol=1e-4, atol=1e-6)
    assert_close(found.sum(dim=-1), torch.ones(2, 3, 6))
    if iterations == 200:
        assert_close(found.sum(dim=-2), torch.ones(2, 3, 6))


def test_nothing_overflows() -> None:
    logits = torch.tensor([[3e4, 1e4], [-2e4, -1e4]])
    assert_close(sinkhorn.doubly_stochastic(logits, iterations=3), torch.eye(2))
    logits = torch.tensor([[0.0, -float("inf")], [0.0, 0.0]], requires_grad=True)
    found = sinkhorn.doubly_stochastic(logits, iterations=3)
    assert found.isfinite().all()
    assert torch.autograd.grad(found[0, 0], logits)[0].isfinite().all()


def test_masked_items_are_not_there() -> None:
    logits = torch.randn(3, 5, 5)
    both = (torch.arange(5) < MASK.sum(dim=-1, keepdim=True)).unsqueeze(-1) & MASK.unsqueeze(-2)
    given = logits.masked_fill(~both, float("nan")).requires_grad_()
    found = sinkhorn.doubly_stochastic(given, MASK, iterations=2)
    assert_close(found[1, :3][:, MASK[1]].double(), normalised(logits[1, :3][:, MASK[1]], 2), rtol=1e-5, atol=1e-6)
    assert (found[~both] == 0).all()
    upstream = torch.randn(3, 5, 5).masked_fill(~both, float("nan"))
    (gradient,) = torch.autograd.grad(found, given, upstream)
    assert gradient.isfinite().all()
    assert (gradient[~both] == 0).all()


def test_an_unknown_entry_marks_its_list() -> None:
    logits = torch.randn(2, 3, 3)
    logits[0, 1, 1] = float("nan")
    found = sinkhorn.doubly_stochastic(logits)
    assert found[0].isnan().all()
    assert_close(found[1], sinkhorn.doubly_stochastic(logits[1]))


@pytest.mark.parametrize("tolerance", [None, 0.05])
def test_gradient_is_the_derivative(tolerance: float | None) -> None:
    logits = torch.randn(3, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: sinkhorn.doubly_stochastic(x, MASK, iterations=5, tolerance=tolerance), logits
    )


def test_a_list_stops_by_itself() -> None:
    logits = torch.stack([2 * torch.randn(6, 6), torch.zeros(6, 6)])
    found = sinkhorn.doubly_stochastic(logits, iterations=100, tolerance=0.01)
    off = [(normalised(logits[0], count).sum(dim=0) - 1).abs().max() for count in range(50)]
    count = next(count for count, value in enumerate(off) if value <= 0.01)
    assert_close(found[0].double(), normalised(logits[0], count), rtol=1e-4, atol=1e-6)
    made = stochastic_library.scaling_op(logits.log_softmax(dim=-1), 100, 0.01)[2]
    assert made.tolist() == [count, 0]
    rows, columns, _ = scaling(logits, 100, 0.01, may_look=False)
    assert len(rows) == 101
    assert_close(scaled(logits, rows[-1], columns[-1]), found)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_operator_passes_torchs_checks() -> None:
    logits = torch.randn(2, 4, 4, requires_grad=True)
    torch.library.opcheck(stochastic_library.scaling_op, (logits, 2, 0.1))
    result = stochastic_library.scaling_op(logits.detach(), 2, None)
    torch.library.opcheck(stochastic_library.scaling_backward_op, (torch.randn(2, 4, 4), logits.detach(), *result))


def test_compiles_and_exports() -> None:
    torch.compiler.reset()
    logits, mask = torch.randn(3, 5, 5, requires_grad=True), MASK

    def loss(x: Tensor) -> Tensor:
        return sinkhorn.doubly_stochastic(x, mask, iterations=3, tolerance=0.01).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert_close(*([value, *torch.autograd.grad(value, logits)] for value in (compiled(logits), loss(logits))))

    class Normalise(torch.nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return sinkhorn.doubly_stochastic(x, mask, iterations=3)

    exported = torch.export.export(Normalise(), (logits.detach(), mask))
    assert not any("rankgrad" in str(node.target) for node in exported.graph.nodes)
    assert_close(exported.module()(logits, mask), sinkhorn.doubly_stochastic(logits, mask, iterations=3))


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3)])
def test_nothing_to_scale(shape: tuple[int, ...]) -> None:
    assert sinkhorn.doubly_stochastic(torch.ones(shape).half()).shape == shape


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match=r"logits: expected shape \[..., n, n\], got \[2, 3\]"):
        sinkhorn.doubly_stochastic(torch.zeros(2, 3))
    with pytest.raises(InputError, match=r"mask: expected shape \[3\], got \[2\]"):
        sinkhorn.doubly_stochastic(torch.zeros(3, 3), torch.ones(2, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"floating-point"):
        sinkhorn.doubly_stochastic(torch.zeros(3, 3, dtype=torch.int64))
