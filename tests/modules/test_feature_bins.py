"""Piecewise linear encoding: its formula, what is constant or missing, and what a linear layer can do with it."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.modules import FeatureBins


def fitted(rows: torch.Tensor, bins: int) -> FeatureBins:
    encode = FeatureBins(rows.shape[1], bins=bins)
    encode.fit(rows)
    return encode


def test_a_bin_is_the_share_of_it_that_is_below() -> None:
    encode = fitted(torch.arange(9.0).square().unsqueeze(1), 4)
    # The knots are 0, 4, 16, 36 and 64.
    x = torch.tensor([[-5.0], [1.0], [4.0], [10.0], [36.0], [50.0], [1e9]])
    raw = torch.tensor(
        [[0, 0, 0, 0], [0.25, 0, 0, 0], [1, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0.5], [1, 1, 1, 1]]
    )
    assert_close(encode(x) / encode.scale[0] + encode.mean[0], raw)


def test_bins_of_the_training_rows_have_mean_0_and_deviation_1() -> None:
    rows = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e4, 1e-4])
    seen = fitted(rows, 4)(rows)
    assert_close(seen.mean(dim=0), torch.zeros(12), atol=1e-5, rtol=0)
    assert_close(seen.std(dim=0, correction=0), torch.ones(12), atol=1e-4, rtol=0)


def test_a_bin_that_few_rows_reach_is_not_blown_up() -> None:
    rows = torch.cat([torch.linspace(0, 1, 999), torch.tensor([1000.0])]).unsqueeze(1)
    assert_close(fitted(rows, 1).scale, torch.tensor([[5.0]]))


def test_tied_constant_and_missing_values_are_0() -> None:
    nothing = float("nan")
    counts = torch.cat([torch.zeros(90), torch.arange(10.0)])
    rows = torch.stack([torch.full((100,), 3.3), counts, torch.full((100,), nothing)], dim=1)
    encode = fitted(rows, 4)
    seen = encode(torch.tensor([[3.3, 0.0, 1.0], [nothing, float("inf"), nothing]])).view(2, 3, 4)
    assert seen[0, 0].eq(0).all()
    assert seen[0, 2].eq(0).all()
    assert seen[1].eq(0).all()
    # Three of the five quantiles are 0: the bins between them have no width.
    assert seen[0, 1].ne(0).tolist() == [False, False, False, True]


def test_fit_ignores_what_is_missing() -> None:
    rows = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    gaps = torch.cat([rows, torch.full((5, 2), float("nan"))])
    assert_close(fitted(gaps, 5).state_dict(), fitted(rows, 5).state_dict())


def test_a_linear_layer_draws_what_it_cannot_from_the_feature() -> None:
    x = torch.linspace(-3, 3, 200).unsqueeze(1)
    wanted = x.abs() - 2 * (x > 1).float()
    alone, seen = (torch.cat([each, torch.ones_like(x)], dim=1) for each in (x, fitted(x, 24)(x)))
    left = [(wanted - each @ torch.linalg.lstsq(each, wanted).solution).square().mean() for each in (alone, seen)]
    assert left[1] < 0.1 * left[0]


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(InputError, match="not fitted"):
        FeatureBins(2)(torch.ones(1, 2))
    with pytest.raises(InputError, match=r"expected \[\.\.\., 2\], got \[1, 3\]"):
        fitted(torch.rand(5, 2), 2)(torch.ones(1, 3))
    with pytest.raises(InputError, match="at least one row"):
        FeatureBins(2).fit(torch.empty(0, 2))
    with pytest.raises(InputError, match="bins=0"):
        FeatureBins(2, bins=0)
