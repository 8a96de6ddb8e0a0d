"""Short lists on a CPU: one matrix in the cache gives what tiles of exponentials give."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rankgrad.ops.sinkhorn import apply, dense, dense_library
from rankgrad.ops.sinkhorn.problem import transport_problem


def results(
    x: Tensor, mask: Tensor | None, temperature: float, iterations: int, tolerance: float | None = None
) -> list[Tensor]:
    x = x.clone().requires_grad_()
    places = torch.arange(1.0, x.shape[-1] + 1).to(x).expand(x.shape).unsqueeze(-1)
    found = apply(x, places, mask, temperature, transpose=True, iterations=iterations, tolerance=tolerance)
    return [
        found.detach(),
        torch.autograd.grad(found, x, torch.linspace(-3, 5, found.numel()).to(x).view(found.shape).sin())[0],
    ]


@pytest.mark.parametrize(
    ("shape", "temperature", "iterations"),
    [((2, 1), 1.0, 3), ((80, 40), 0.05, 2), ((2, 3, 40), 30.0, 5), ((1, 256), 2.0, 20), ((3, 7), 0.5, 0)],
)
def test_agrees_with_tiles(shape: tuple[int, ...], temperature: float, iterations: int) -> None:
    x, mask = torch.randn(shape, dtype=torch.float64), torch.rand(shape) < 0.8
    x[..., -1] = x[..., 0]
    mask[0] = False
    found = results(x, mask, temperature, iterations)
    with patch.object(dense, "LONGEST", 0):
        expected = results(x, mask, temperature, iterations)
    assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tolerance", [0.01, 0.05])
def test_each_list_stops_where_tiles_stop(tolerance: float) -> None:
    """Lists from no difference to far apart stop after different numbers of iterations, some never."""
    x = torch.randn(6, 30, dtype=torch.float64) * torch.tensor([0.0, 0.1, 1.0, 5.0, 30.0, 1e4]).unsqueeze(1)
    mask = torch.rand(6, 30) < 0.8
    stops = dense_library.potentials_op(*transport_problem(x, mask, 1.0)[:4], 12, tolerance)[3]
    assert len(set(stops.tolist())) > 2
    found = results(x, mask, 1.0, 12, tolerance)
    with patch.object(dense, "LONGEST", 0):
        expected = results(x, mask, 1.0, 12, tolerance)
    assert_close(found, expected, rtol=1e-9, atol=1e-9)
    # So many iterations are what a list's result and gradient are of.
    for place, made in enumerate(stops.tolist()):
        alone = results(x, mask, 1.0, made)
        assert_close([each[place] for each in found], [each[place] for each in alone], rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_operators_pass_torchs_checks() -> None:
    problem = transport_problem(torch.randn(2, 6), torch.rand(2, 6) < 0.8, 0.5)
    points, places, columns, real = problem[:4]
    inputs = (points.requires_grad_(), places, columns.detach().requires_grad_(), real, 2)
    for tolerance in (None, 0.05):
        torch.library.opcheck(dense_library.potentials_op, (*inputs, tolerance))


def test_scales_are_kept_and_no_matrix() -> None:
    x = torch.randn(1, 200, requires_grad=True)
    problem = transport_problem(x, None, 2.0)
    _, _, scales, _ = dense_library.potentials_op(*problem[:4], 3, None)
    assert scales.shape == (2, 4, 1, 200)
