"""p-values of several tests, adjusted for there being several."""

from __future__ import annotations

import numpy as np

from rankgrad.metrics.significance import Values, check_values


def holm_correction(p_values: Values) -> list[float]:
    """p-values of several tests adjusted so that the chance of any false discovery stays below the level.

    In ascending order ``p'_i = max_{j <= i} min(1, (m - j + 1) p_j)`` for m tests.

    Args:
        p_values: one a test.

    Returns:
        The adjusted values, in the order given.

    Raises:
        InputError: for no value, or NaN.

    Reference:
        Holm: A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> holm_correction([0.5, 0.25])
        [0.5, 0.5]
    """
    values = check_values(p_values, "p_values")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, values[order] * np.arange(values.size, 0, -1)))
    return adjusted.tolist()


def bonferroni_correction(p_values: Values) -> list[float]:
    """p-values of m tests times m: as sure as :func:`holm_correction`, and never smaller.

    ``p'_i = min(1, m p_i)``.

    Args:
        p_values: one a test.

    Returns:
        The adjusted values, in the order given.

    Raises:
        InputError: for no value, or NaN.

    Reference:
        Dunn: Multiple comparisons among means, Journal of the American Statistical Association 56, 1961.

    Example:
        >>> bonferroni_correction([0.5, 0.25])
        [1.0, 0.5]
    """
    values = check_values(p_values, "p_values")
    return np.minimum(1.0, values * values.size).tolist()
