"""The rows of metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from contract_case import Case, soft
from torch import Tensor

from rankgrad import metrics


def metric_cases(
    function: Callable[..., Tensor], *, ties: bool = True, all_masked: float = 0.0, **options: Any
) -> list[Case]:
    """Hard and soft ranks; where there is a cut, a smooth one; where tied items may be averaged, that."""
    name, call = function.__name__, partial(function, **options)
    smooth = partial(call, ranker=soft, cut_temperature=0.5)
    return [
        Case(name, function, call, differentiable=False, all_masked=all_masked),
        Case(f"{name}-soft", function, partial(call, ranker=soft), all_masked=all_masked),
        *([Case(f"{name}-smooth-cut", function, smooth, all_masked=all_masked)] if options.get("k") else []),
        *([averaged(name, function, partial(call, ties="average"), all_masked)] if ties else []),
    ]


def averaged(name: str, function: Callable[..., Tensor], call: Callable[..., Tensor], all_masked: float) -> Case:
    """Scores rounded, so that many are tied."""
    return Case(
        f"{name}-average-ties",
        function,
        lambda x, labels, mask: call((x / 2).round().to(x.dtype), labels, mask),
        differentiable=False,
        all_masked=all_masked,
    )


def topics_cases(function: Callable[..., Tensor], **options: Any) -> list[Case]:
    """Labels of two topics, made of one."""

    def call(x: Tensor, labels: Tensor, mask: Tensor, **more: Any) -> Tensor:
        return function(x, torch.stack([labels > 1, labels == 1], dim=-1).float(), mask, **options, **more)

    name = function.__name__
    return [
        Case(name, function, call, differentiable=False),
        Case(f"{name}-soft", function, partial(call, ranker=soft)),
        Case(f"{name}-smooth-cut", function, partial(call, ranker=soft, cut_temperature=0.5)),
    ]


def overlap(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """The other ranking is another order of some of the items."""
    others = labels + x.to(torch.promote_types(x.dtype, torch.float32)) / 64
    fits = mask.dtype == torch.bool and mask.shape == labels.shape and mask.device == labels.device
    return metrics.rank_biased_overlap(x, others, mask, mask & (labels != 1) if fits else None, **options)


def measured(x: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    found = metrics.measure_lists([metrics.NDCG(k=3), metrics.AveragePrecision()], x, labels, mask)
    return torch.stack(list(found.values()), dim=-1)[..., 1]


CASES = [
    *metric_cases(metrics.dcg, k=3, gain="exp2"),
    *metric_cases(metrics.ndcg, k=3),
    *metric_cases(metrics.reciprocal_rank),
    *metric_cases(metrics.average_precision),
    *metric_cases(metrics.recall, k=3),
    *metric_cases(metrics.precision, k=3),
    *metric_cases(metrics.f_measure, k=3, beta=2.0),
    *metric_cases(metrics.success, k=2, relevance_level=3.0),
    *metric_cases(metrics.r_precision, relevance_level=2.0),
    *metric_cases(metrics.rank_biased_precision, max_label=3.0),
    *metric_cases(metrics.rank_biased_residual, all_masked=1.0),
    *metric_cases(metrics.expected_reciprocal_rank, k=3, ties=False),
    *metric_cases(metrics.judged_share, k=3),
    *metric_cases(metrics.binary_preference, ties=False),
    *metric_cases(metrics.inferred_average_precision, ties=False),
    *metric_cases(metrics.average_relevance_position),
    *metric_cases(metrics.interpolated_precision, ties=False, recall_level=0.4),
    *metric_cases(metrics.ordered_pair_accuracy, ties=False),
    *metric_cases(metrics.kendall_tau, ties=False),
    *metric_cases(metrics.tau_ap, ties=False),
    *metric_cases(metrics.spearman, ties=False),
    *topics_cases(metrics.alpha_ndcg, k=3),
    *topics_cases(metrics.intent_aware_precision, k=3),
    *topics_cases(metrics.intent_aware_err, k=3),
    Case("rank_biased_overlap", metrics.rank_biased_overlap, overlap, differentiable=False),
    Case("rank_biased_overlap-soft", metrics.rank_biased_overlap, partial(overlap, ranker=soft)),
    Case("rank_biased_overlap-least", metrics.rank_biased_overlap, partial(overlap, extrapolate=False, ranker=soft)),
    Case("measure_lists", metrics.measure_lists, measured, differentiable=False),
]
