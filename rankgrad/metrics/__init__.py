"""Metrics: one value a query, never reduced; with a soft ranker, differentiable."""

from rankgrad.metrics.average_precision import AveragePrecision, average_precision
from rankgrad.metrics.ndcg import NDCG, ndcg
from rankgrad.metrics.precision import Precision, precision
from rankgrad.metrics.recall import Recall, recall
from rankgrad.metrics.reciprocal_rank import ReciprocalRank, reciprocal_rank
from rankgrad.metrics.significance import (
    Interval,
    SignificanceTest,
    bootstrap_interval,
    holm_correction,
    paired_t_test,
    randomization_test,
)

__all__ = [
    "NDCG",
    "AveragePrecision",
    "Interval",
    "Precision",
    "Recall",
    "ReciprocalRank",
    "SignificanceTest",
    "average_precision",
    "bootstrap_interval",
    "holm_correction",
    "ndcg",
    "paired_t_test",
    "precision",
    "randomization_test",
    "recall",
    "reciprocal_rank",
]
