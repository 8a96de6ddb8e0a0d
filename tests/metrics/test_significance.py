"""Significance tests against scipy's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.metrics import (
    bonferroni_correction,
    bootstrap_interval,
    effect_size,
    holm_correction,
    paired_t_test,
    randomization_test,
    wilcoxon_test,
)

A = np.array([0.61, 0.42, 0.93, 0.18, 0.77, 0.50, 0.34, 0.88])
B = np.array([0.55, 0.47, 0.80, 0.11, 0.71, 0.32, 0.36, 0.79])


def test_paired_t_test_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.ttest_rel(A, B)
    result = paired_t_test(torch.from_numpy(A), torch.from_numpy(B))
    assert result == pytest.approx((expected.statistic, expected.pvalue))
    assert paired_t_test(B, A) == pytest.approx((-expected.statistic, expected.pvalue))


@pytest.mark.parametrize(("shift", "expected"), [(0.0, (0.0, 1.0)), (0.5, (np.inf, 0.0)), (-0.5, (-np.inf, 0.0))])
def test_equal_differences(shift: float, expected: tuple[float, float]) -> None:
    base = np.array([0.0, 0.25, 0.5])
    assert paired_t_test(base + shift, base) == expected


def test_randomization_over_all_assignments() -> None:
    differences = A - B
    sums = [abs(np.dot(signs, differences)) for signs in product([1, -1], repeat=len(A))]
    expected = np.mean([total >= abs(differences.sum()) - 1e-12 for total in sums])
    result = randomization_test(A, B)
    assert result == pytest.approx((differences.mean(), expected))


def test_randomization_by_sampling_approaches_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.1, 1, 200), generator.normal(0, 1, 200)
    expected = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=4000, random_state=1
    )
    result = randomization_test(a, b, resamples=4000, seed=3)
    assert result.p_value == pytest.approx(expected.pvalue, abs=0.03)
    assert result == randomization_test(a, b, resamples=4000, seed=3)
    assert result != randomization_test(a, b, resamples=4000, seed=4)


def test_a_sampled_p_value_is_never_zero() -> None:
    assert randomization_test(np.ones(50), np.zeros(50), resamples=999).p_value == pytest.approx(1 / 1000)


def test_bootstrap_interval_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).exponential(1, 100)
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, random_state=1)
    result = bootstrap_interval(values)
    assert result == pytest.approx(tuple(expected.confidence_interval), abs=0.02)
    assert result.low < values.mean() < result.high
    narrow = bootstrap_interval(values, confidence=0.5)
    assert result.low < narrow.low < narrow.high < result.high


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.04], [0.04]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm(p_values: list[float], expected: list[float]) -> None:
    assert holm_correction(p_values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_t_test([1.0], [2.0]), "at least two queries, got 1"),
        (lambda: paired_t_test([1.0, 2.0], [1.0]), "the same queries for both systems, got 2 and 1"),
        (lambda: randomization_test([1.0, float("nan")], [1.0, 2.0]), "a: NaN at 1"),
        (lambda: randomization_test([1.0], [2.0], resamples=0), "resamples: expected at least 1"),
        (lambda: bootstrap_interval([]), "differences: expected one value a query"),
        (lambda: bootstrap_interval(np.ones((1, 1))), r"got shape \[1, 1\]"),
        (lambda: bootstrap_interval([1.0], confidence=95), "confidence: expected a share between 0 and 1, got 95"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_wilcoxon_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.wilcoxon(A, B)
    assert wilcoxon_test(torch.from_numpy(A), B) == pytest.approx((expected.statistic, expected.pvalue))
    assert wilcoxon_test(A, A) == (0.0, 1.0)
    # The signs of eight different ranks: 2^8 of them are as likely.
    assert wilcoxon_test(np.arange(1.0, 9.0), np.zeros(8)) == pytest.approx((0.0, 2 / 2**8))


def test_effect_size_is_the_t_statistic_without_the_number_of_queries() -> None:
    assert effect_size(A, B) == pytest.approx(paired_t_test(A, B).statistic / len(A) ** 0.5)
    base = np.array([0.0, 0.25, 0.5])
    assert [effect_size(base + shift, base) for shift in (0.0, 0.5, -0.5)] == [0.0, np.inf, -np.inf]


def test_bonferroni_is_never_below_holm() -> None:
    values = [0.01, 0.04, 0.03, 0.5]
    assert bonferroni_correction(values) == pytest.approx([0.04, 0.16, 0.12, 1.0])
    assert all(b >= h for b, h in zip(bonferroni_correction(values), holm_correction(values), strict=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effect_size([1.0], [2.0]), "an effect size needs at least two queries, got 1"),
        (lambda: wilcoxon_test([1.0], [2.0, 3.0]), "the same queries for both systems, got 1 and 2"),
        (lambda: bonferroni_correction([]), "p_values: expected one value"),
    ],
)
def test_what_does_not_fit_the_others_is_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
