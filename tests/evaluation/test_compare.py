"""Differences, intervals and p-values beside scipy's answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rankgrad.evaluation import compare

RNG = np.random.default_rng(0)
BASE = RNG.random(40)
VALUES = {
    "base": {"nDCG@10": BASE.tolist(), "MRR@10": (BASE / 2).tolist()},
    "better": {"nDCG@10": (BASE + RNG.normal(0.2, 0.1, 40)).tolist(), "MRR@10": BASE.tolist()},
    "alike": {"nDCG@10": (BASE + RNG.normal(0.0, 0.1, 40)).tolist(), "MRR@10": (BASE / 2).tolist()},
}


def test_every_other_system_and_metric_is_compared() -> None:
    rows = compare(VALUES, "base", seed=1)
    assert [(row.system, row.metric) for row in rows] == [
        ("better", "nDCG@10"),
        ("better", "MRR@10"),
        ("alike", "nDCG@10"),
        ("alike", "MRR@10"),
    ]
    assert rows == compare(VALUES, "base", seed=1)
    for row in rows[:3]:
        system, base = np.array(VALUES[row.system][row.metric]), np.array(VALUES["base"][row.metric])
        assert row.difference == pytest.approx((system - base).mean(), rel=1e-5)
        assert row.t_p == pytest.approx(stats.ttest_rel(system, base).pvalue, rel=1e-3)
        interval = stats.bootstrap((system - base,), np.mean, method="percentile", rng=0).confidence_interval
        assert (row.low, row.high) == pytest.approx(tuple(interval), abs=0.01)
        swaps = stats.permutation_test(
            (system, base), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=9999, rng=0
        )
        assert row.randomization_p == pytest.approx(swaps.pvalue, abs=0.02)


def test_the_first_metric_is_corrected_for_the_number_of_systems() -> None:
    rows = {(row.system, row.metric): row for row in compare(VALUES, "base")}
    better, alike = rows["better", "nDCG@10"], rows["alike", "nDCG@10"]
    assert (better.t_p_holm, alike.t_p_holm) == (2 * better.t_p, alike.t_p)  # type: ignore[operator]
    assert better.randomization_p_holm == 2 * better.randomization_p  # type: ignore[operator]
    assert rows["better", "MRR@10"].t_p_holm is None


def test_a_system_that_equals_the_baseline_differs_by_chance() -> None:
    row = compare({"a": {"P": [0.1, 0.5, 0.3]}, "b": {"P": [0.1, 0.5, 0.3]}}, "a")[0]
    assert (row.difference, row.low, row.high, row.t_p, row.randomization_p) == (0.0, 0.0, 0.0, 1.0, 1.0)


def test_one_query_is_no_sample() -> None:
    row = compare({"a": {"P": [0.1]}, "b": {"P": [0.6]}}, "a")[0]
    assert row.difference == pytest.approx(0.5)
    assert (row.t_p, row.randomization_p, row.t_p_holm) == (None, None, None)


def test_a_system_that_is_better_by_the_same_everywhere() -> None:
    row = compare({"a": {"P": [0.25] * 30}, "b": {"P": [0.5] * 30}}, "a")[0]
    assert (row.low, row.high) == (0.25, 0.25)
    assert row.t_p == pytest.approx(0.0, abs=1e-9)
    assert row.randomization_p is not None
    assert row.randomization_p < 0.001
