"""Is the difference to the baseline more than chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankgrad.metrics import bootstrap_interval, holm_correction, paired_t_test, randomization_test


@dataclass(frozen=True)
class Comparison:
    """One system beside the baseline in one metric.

    Args:
        system: the system's name.
        metric: the metric's name.
        difference: mean over the queries of system minus baseline.
        low, high: 95 % bootstrap interval of the difference.
        t_p: p-value of the paired t-test, two-sided; None with fewer than two queries.
        randomization_p: p-value of the randomisation test, two-sided.
        t_p_holm, randomization_p_holm: the same after Holm's correction over the systems; None but for the first
        metric.
    """

    system: str
    metric: str
    difference: float
    low: float
    high: float
    t_p: float | None
    randomization_p: float | None
    t_p_holm: float | None = None
    randomization_p_holm: float | None = None


def compare(
    values: Mapping[str, Mapping[str, Sequence[float]]], baseline: str, *, seed: int = 0
) -> tuple[Comparison, ...]:
    """Compare every system with the baseline, metric by metric.

    The first metric is the one that decides: its p-values are corrected for the number of systems compared.

    Args:
        values: by system, by metric, one value a query in the same order of queries.
        baseline: the system that the others are compared with.
        seed: of the resampling.

    Returns:
        One comparison for each other system and metric, systems outermost.

    Reference:
        M. D. Smucker, J. Allan, B. Carterette, "A comparison of statistical significance tests for information
        retrieval evaluation", CIKM 2007.

    Example:
        >>> values = {"old": {"P": [0.1, 0.2, 0.3, 0.2]}, "new": {"P": [0.2, 0.4, 0.5, 0.3]}}
        >>> [round(row.difference, 2) for row in compare(values, "old")]
        [0.15]
    """
    metrics = list(values[baseline])
    others = [system for system in values if system != baseline]
    rows = {
        (system, metric): _comparison(system, metric, values[system][metric], values[baseline][metric], seed)
        for system in others
        for metric in metrics
    }
    first = [rows[system, metrics[0]] for system in others]
    if first and first[0].t_p is not None:
        t_p = holm_correction([row.t_p for row in first])  # type: ignore[misc]
        randomization_p = holm_correction([row.randomization_p for row in first])  # type: ignore[misc]
        for row, one, other in zip(first, t_p, randomization_p, strict=True):
            rows[row.system, row.metric] = replace(row, t_p_holm=one, randomization_p_holm=other)
    return tuple(rows.values())


def _comparison(system: str, metric: str, values: Sequence[float], baseline: Sequence[float], seed: int) -> Comparison:
    differences = np.asarray(values) - np.asarray(baseline)
    low, high = bootstrap_interval(differences, seed=seed)
    several = len(differences) > 1
    return Comparison(
        system,
        metric,
        difference=float(differences.mean()),
        low=low,
        high=high,
        t_p=paired_t_test(values, baseline).p_value if several else None,
        randomization_p=randomization_test(values, baseline, seed=seed).p_value if several else None,
    )
