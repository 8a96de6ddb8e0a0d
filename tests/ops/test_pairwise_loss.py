"""Sums over pairs against their definition."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops.pairwise_loss import PairOptions, pairwise_losses, reference
from rankgrad.ops.pairwise_loss.library import pairwise_loss_op

PLACES = [(0.0, 0.0, 0), (1.0, 0.0, 3), (1.0, 5.0, 0), (0.0, 1.0, 40)]
OPTIONS = [
    PairOptions(link, 0.7, pairs, *places)
    for link, pairs, places in product(("logistic", "hinge"), ("order", "difference", "each"), PLACES)
]


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KERNEL_OPTIONS = [OPTIONS[i] for i in (0, 6, 9, 13, 18, 23)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("n", [1, 5, 70])
def test_tiles_are_the_definition(options: PairOptions, n: int) -> None:
    scores = torch.randn(3, n, dtype=torch.float64, requires_grad=True)
    keys, mask = torch.randint(0, 4, (3, n)).double(), torch.rand(3, n) < 0.7
    weights = None if options.pairs == "each" else torch.rand(3, n, dtype=torch.float64)
    mask[2] = False
    upstream = torch.randn(3, dtype=torch.float64)
    values = [
        pairwise_losses(scores, keys, mask, weights=weights, options=options),
        reference.losses(scores, keys, mask, weights, options),
    ]
    assert_close(*values)
    assert_close(*(torch.autograd.grad(value, scores, upstream)[0] for value in values))


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("options", KERNEL_OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(3, 1), (11, 7), (2, 40)], ids=str)
def test_kernels_are_the_definition(options: PairOptions, shape: tuple[int, int]) -> None:
    pytest.importorskip("triton")
    scores, keys = torch.randn(shape, device=DEVICE), torch.randint(0, 4, shape, device=DEVICE).float()
    mask = torch.rand(shape, device=DEVICE) < 0.7
    mask[-1] = False
    scores = scores.masked_fill(~mask, float("nan"))
    weights = None if options.pairs == "each" else torch.rand(shape, device=DEVICE)
    upstream = torch.randn(shape[0], device=DEVICE)
    found, expected = (
        value_and_gradient(scores.to(dtype), keys, mask, weights, options, backend, upstream)
        for dtype, backend in ((torch.float32, "triton"), (torch.float64, "reference"))
    )
    for one, other in zip(found, expected, strict=True):
        assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def value_and_gradient(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor,
    weights: Tensor | None,
    options: PairOptions,
    backend: Any,
    upstream: Tensor,
) -> tuple[Tensor, Tensor]:
    scores = scores.requires_grad_()
    value = pairwise_losses(scores, keys, mask, weights=weights, options=options, backend=backend)
    return value.detach(), torch.autograd.grad(value, scores, upstream.to(value.dtype))[0]


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_kernels_mark_what_is_not_a_number() -> None:
    pytest.importorskip("triton")
    scores, keys = torch.randn(3, 5, device=DEVICE), torch.rand(3, 5, device=DEVICE)
    scores[0, 3], keys[1, 2] = float("nan"), float("nan")
    scores[2, 0] = float("inf")
    value = pairwise_losses(scores, keys, backend="triton")
    assert value.isnan().tolist() == [True, True, False]
    with pytest.raises(InputError, match="accumulate in float32"):
        pairwise_losses(scores.double(), keys, backend="triton")


def test_the_operator_is_one_of_torchs() -> None:
    scores, keys = torch.randn(2, 5, requires_grad=True), torch.rand(2, 5)
    mask = torch.rand(2, 5) < 0.7
    torch.library.opcheck(pairwise_loss_op, (scores, keys, mask, keys, *PairOptions(), True, False))
    torch.library.opcheck(pairwise_loss_op, (scores.detach(), keys, None, None, *PairOptions(), False, False))


def test_leading_axes_nothing_and_repeats() -> None:
    scores, keys = torch.randn(2, 3, 40, requires_grad=True), torch.rand(2, 3, 40)
    values = pairwise_losses(scores, keys)
    assert_close(values[1, 2], pairwise_losses(scores[1, 2], keys[1, 2]))
    first, second = (torch.autograd.grad(pairwise_losses(scores, keys).sum(), scores)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert pairwise_losses(torch.zeros(2, 0), torch.zeros(2, 0)).tolist() == [0, 0]
    assert pairwise_losses(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


def test_scores_out_of_range_stay_finite_and_take_no_gradient() -> None:
    scores = torch.tensor([float("inf"), 1.0, -float("inf"), 1e30, 0.5], requires_grad=True)
    value = pairwise_losses(scores, torch.tensor([0.0, 1.0, 2.0, 1.0, 3.0]))
    value.backward()
    assert scores.grad is not None
    assert value.isfinite()
    assert scores.grad.isfinite().all()
    assert scores.grad[[0, 2]].tolist() == [0, 0]


def test_memory_does_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor that torch makes for a long list has more elements than a tile of 32 of its items."""
    sizes: list[int] = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, torch.Tensor))
            return result

    from rankgrad.ops.pairwise_loss import tiled

    n = 2000
    with Sizes():
        tiled.losses(torch.randn(1, n), torch.rand(1, n), None, None, PairOptions(k=64), gradient=True)
    assert max(sizes) <= 32 * n


def test_exported_graphs_hold_plain_operators() -> None:
    class Model(torch.nn.Module):
        def forward(self, scores: Tensor, keys: Tensor) -> Tensor:
            return pairwise_losses(scores, keys)

    inputs = torch.randn(2, 5), torch.rand(2, 5)
    exported = torch.export.export(Model(), inputs)
    assert "rankgrad" not in exported.graph_module.code
    assert_close(exported.module()(*inputs), pairwise_losses(*inputs))
