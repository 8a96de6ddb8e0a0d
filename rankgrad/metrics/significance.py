"""Is a difference between two systems more than chance? Paired over queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from rankgrad._checks import InputError, require

Values: TypeAlias = Tensor | np.ndarray | Sequence[float]
_CHUNK = 1 << 22


class SignificanceTest(NamedTuple):
    """A two-sided test: its statistic and p-value."""

    statistic: float
    p_value: float


class Interval(NamedTuple):
    """The ends of a confidence interval."""

    low: float
    high: float


def paired_t_test(a: Values, b: Values) -> SignificanceTest:
    """Student's two-sided paired t-test of ``mean(a) = mean(b)``.

    ``t = mean(d) sqrt(n) / std(d)`` with ``d = a - b`` and n - 1 degrees of freedom. When all differences are equal the
    p-value is 1 for zero differences and 0 otherwise.

    Args:
        a: one value a query.
        b: the other system's values of the same queries in the same order.

    Shape:
        ``[queries]`` each.

    Raises:
        InputError: for fewer than two queries, unequal lengths, or NaN.
        MissingExtraError: when scipy is not installed.

    Reference:
        Student: The probable error of a mean, Biometrika 6, 1908.

    Example:
        >>> round(paired_t_test([0.5, 0.7, 0.9], [0.4, 0.5, 0.9]).p_value, 4)
        0.2254
    """
    differences = check_differences(a, b)
    count = differences.size
    if count < 2:
        raise InputError(f"a, b: a paired t-test needs at least two queries, got {count}")
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(count)
    if error == 0:
        return SignificanceTest(0.0, 1.0) if mean == 0 else SignificanceTest(float(np.copysign(np.inf, mean)), 0.0)
    statistic = float(mean / error)
    distribution = require("scipy.stats", "evaluate").t
    return SignificanceTest(statistic, float(2 * distribution.sf(abs(statistic), count - 1)))


def randomization_test(a: Values, b: Values, *, resamples: int = 10_000, seed: int = 0) -> SignificanceTest:
    """Fisher's two-sided paired randomisation test of the mean difference, by random swaps of the two systems' values.

    p is the share of sign assignments to ``d = a - b`` whose mean is at least as far from 0 as the observed one: over
    all 2^n assignments when they are no more than ``resamples``, else over ``resamples`` random ones and the observed
    one.

    Args:
        a: one value a query.
        b: the other system's values of the same queries in the same order.
        resamples: random assignments to draw.
        seed: makes the draw repeat.

    Shape:
        ``[queries]`` each.

    Returns:
        The mean difference and the p-value.

    Raises:
        InputError: for no query, unequal lengths, NaN, or no resample.

    Reference:
        Smucker, Allan, Carterette: A comparison of statistical significance tests for information retrieval evaluation,
        CIKM 2007.

    Example:
        >>> randomization_test([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
        SignificanceTest(statistic=1.0, p_value=0.25)
    """
    differences = check_differences(a, b)
    _check_resamples(resamples)
    count, observed = differences.size, float(differences.mean())
    # A sum in another order may fall a rounding error short of the observed one and is still as extreme.
    extreme = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    if count < 63 and 2**count <= resamples:
        signs = 1.0 - 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        return SignificanceTest(observed, float(np.mean(np.abs(signs @ differences) >= extreme)))
    generator = np.random.default_rng(seed)
    hits, step = 1, max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), count)
        signs = 1.0 - 2.0 * generator.integers(0, 2, size=size, dtype=np.int8)
        hits += int(np.sum(np.abs(signs @ differences) >= extreme))
    return SignificanceTest(observed, hits / (resamples + 1))


def bootstrap_interval(
    differences: Values, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean of per-query differences (or values).

    Args:
        differences: one value a query.
        confidence: the share of resampled means between the ends.
        resamples: samples of queries to draw with replacement.
        seed: makes the draw repeat.

    Shape:
        ``[queries]``.

    Raises:
        InputError: for no query, NaN, a confidence outside (0, 1), or no resample.

    Reference:
        Efron: Bootstrap methods: another look at the jackknife, Annals of Statistics 7, 1979.

    Example:
        >>> bootstrap_interval([0.25, 0.25, 0.25])
        Interval(low=0.25, high=0.25)
    """
    values = check_values(differences, "differences")
    _check_resamples(resamples)
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a share between 0 and 1, got {confidence}")
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // values.size)
    means = [
        values[generator.integers(0, values.size, size=(min(step, resamples - start), values.size))].mean(axis=1)
        for start in range(0, resamples, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def check_values(values: Values, name: str) -> np.ndarray:
    """Values as one axis of float64; an error names ``name``."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{name}: expected one value a query on a single axis, got shape {list(array.shape)}")
    if np.isnan(array).any():
        raise InputError(f"{name}: NaN at {int(np.isnan(array).argmax())}; leave such queries out of both systems")
    return array


def check_differences(a: Values, b: Values) -> np.ndarray:
    """``a - b``, of the same queries."""
    first, second = check_values(a, "a"), check_values(b, "b")
    if first.size != second.size:
        raise InputError(f"a, b: expected the same queries for both systems, got {first.size} and {second.size}")
    return first - second


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise InputError(f"resamples: expected at least 1, got {resamples}")
