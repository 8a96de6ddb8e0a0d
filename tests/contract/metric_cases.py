"""The rows of metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from contract_case import Case, soft
from torch import Tensor

from rankgrad import metrics


def metric_cases(function: Callable[..., Tensor], **options: Any) -> list[Case]:
    name = function.__name__
    smooth = partial(function, ranker=soft, cut_temperature=0.5, **options)
    return [
        Case(name, function, partial(function, **options), differentiable=False),
        Case(f"{name}-soft", function, partial(function, ranker=soft, **options)),
        *([Case(f"{name}-smooth-cut", function, smooth)] if options.get("k") else []),
    ]


CASES = [
    *metric_cases(metrics.ndcg, k=3),
    *metric_cases(metrics.reciprocal_rank),
    *metric_cases(metrics.average_precision),
    *metric_cases(metrics.recall, k=3),
    *metric_cases(metrics.precision, k=3),
]
