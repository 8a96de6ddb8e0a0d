"""Wilcoxon's signed-rank test, and the size of an effect."""

from __future__ import annotations

import numpy as np

from rankgrad._checks import InputError, require
from rankgrad.metrics.significance import SignificanceTest, Values, check_differences


def wilcoxon_test(a: Values, b: Values) -> SignificanceTest:
    """Wilcoxon's two-sided signed-rank test that differences are as often above 0 as below, by their ranks.

    The statistic is the smaller of the sums of the ranks of ``|a - b|`` over the positive and over the negative
    differences; zeros are left out. The p-value is exact for up to 50 queries without ties and zeros, else by the
    normal approximation: ``scipy.stats.wilcoxon`` does the work. With no difference at all it is 1.

    Args:
        a: one value a query.
        b: the other system's values of the same queries in the same order.

    Shape:
        ``[queries]`` each.

    Raises:
        InputError: for no query, unequal lengths, or NaN.
        MissingExtraError: when scipy is not installed.

    Reference:
        Wilcoxon: Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945.

    Example:
        >>> wilcoxon_test([0.1, 0.4, 0.7, 1.0], [0.0, 0.2, 0.4, 0.6])
        SignificanceTest(statistic=0.0, p_value=0.125)
    """
    differences = check_differences(a, b)
    if not differences.any():
        return SignificanceTest(0.0, 1.0)
    found = require("scipy.stats", "evaluate").wilcoxon(differences)
    return SignificanceTest(float(found.statistic), float(found.pvalue))


def effect_size(a: Values, b: Values) -> float:
    """The mean difference in standard deviations of the differences: Cohen's d of paired values.

    ``d = mean(a - b) / std(a - b)`` with n - 1 in the deviation; 0.2 is often called small, 0.5 medium, 0.8 large. A
    p-value falls with the number of queries, this does not. Where all differences are equal it is 0 or infinite.

    Args:
        a: one value a query.
        b: the other system's values of the same queries in the same order.

    Shape:
        ``[queries]`` each.

    Raises:
        InputError: for fewer than two queries, unequal lengths, or NaN.

    Reference:
        Cohen: Statistical power analysis for the behavioral sciences, 2nd edition, Erlbaum, 1988.

    Example:
        >>> round(effect_size([0.5, 0.7, 0.9], [0.4, 0.5, 0.9]), 4)
        1.0
    """
    differences = check_differences(a, b)
    if differences.size < 2:
        raise InputError(f"a, b: an effect size needs at least two queries, got {differences.size}")
    mean, deviation = differences.mean(), differences.std(ddof=1)
    if deviation == 0:
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return float(mean / deviation)
