"""The metrics beyond the common five, against their formulas and other libraries."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, nan
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad import metrics
from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank

SCORES = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3])
LABELS = torch.tensor([1, 0, 3, 2, 0])
"""In order of score: 0, 2, 3, 0, 1."""
POOL = torch.arange(7.0, 0.0, -1.0)
POOLED = torch.tensor([1, 0, -2, 1, -1, 0, 1])
"""Relevant, irrelevant, pooled but not judged, relevant, not pooled, irrelevant, relevant."""
DIVERSE = torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
DOWN = torch.tensor([4.0, 3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("metric", "scores", "labels", "options", "expected"),
    [
        (metrics.dcg, SCORES, LABELS, {}, 2 / log2(3) + 3 / log2(4) + 1 / log2(6)),
        (metrics.dcg, SCORES, LABELS, {"gain": "exp2", "k": 2}, 3 / log2(3)),
        (metrics.dcg, SCORES, LABELS, {"gain": lambda y: y**2, "k": 3}, 4 / log2(3) + 9 / 2),
        (metrics.ndcg, SCORES, LABELS, {"gain": lambda y: y**2, "k": 1, "judged": torch.tensor([2, 3])}, 0),
        (metrics.r_precision, SCORES, LABELS, {}, 2 / 3),
        (metrics.r_precision, SCORES, LABELS, {"multiple": 2.0}, 3 / 6),
        (metrics.r_precision, SCORES, LABELS, {"judged": torch.tensor([1, 1])}, 1 / 2),
        (metrics.f_measure, SCORES, LABELS, {"k": 2}, 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)),
        (metrics.f_measure, SCORES, LABELS, {"beta": 2.0}, 5 * (3 / 5) * 1 / (4 * (3 / 5) + 1)),
        (metrics.success, SCORES, LABELS, {"k": 1}, 0),
        (metrics.success, SCORES, LABELS, {"k": 2}, 1),
        (metrics.expected_reciprocal_rank, DOWN, torch.tensor([3, 2, 0, 1]), {}, 0.497375),
        (metrics.expected_reciprocal_rank, DOWN, torch.tensor([3, 2, 0, 1]), {"max_label": 3.0}, 0.900879),
        (metrics.rank_biased_precision, DOWN, torch.tensor([1, 0, -1, 1]), {}, 0.2 * (1 + 0.8**3)),
        (metrics.rank_biased_precision, DOWN, torch.tensor([2, 0, 4, 0]), {"max_label": 4.0}, 0.2 * (0.5 + 0.8**2)),
        (metrics.rank_biased_precision, DOWN, torch.tensor([0, 1, 0, 1]), {"persistence": 0.5, "k": 2}, 0.25),
        (metrics.rank_biased_residual, DOWN, torch.tensor([1, 0, -1, 1]), {}, 0.2 * 0.8**2 + 0.8**4),
        (metrics.rank_biased_residual, DOWN, torch.tensor([-1, 0, -1, 1]), {"k": 2}, 0.2 + 0.8**2),
        (metrics.binary_preference, POOL, POOLED, {"judged": torch.tensor([1, 1, 1, 1, 0, 0, 0, -1])}, 0.5),
        (metrics.binary_preference, POOL, POOLED, {}, (1 + 1 / 2 + 0) / 3),
        (metrics.inferred_average_precision, POOL, POOLED, {"judged": torch.ones(4)}, 0.53125),
        (metrics.judged_share, POOL, POOLED, {"k": 5}, 3 / 5),
        (metrics.judged_share, POOL, POOLED, {}, 5 / 7),
        (metrics.average_relevance_position, SCORES, LABELS, {}, (1 * 5 + 3 * 3 + 2 * 2) / 6),
        (metrics.interpolated_precision, SCORES, LABELS, {}, 2 / 3),
        (metrics.interpolated_precision, SCORES, LABELS, {"recall_level": 0.9}, 3 / 5),
        (metrics.interpolated_precision, SCORES, LABELS, {"judged": torch.ones(8), "recall_level": 0.9}, 0),
        (metrics.ordered_pair_accuracy, SCORES, LABELS, {}, 4 / 9),
        (metrics.ordered_pair_accuracy, torch.zeros(5), LABELS, {}, 0),
        (metrics.tau_ap, torch.tensor([3.0, 4.0, 2.0, 1.0]), DOWN, {}, 1 / 3),
        (metrics.tau_ap, torch.tensor([4.0, 3.0, 1.0, 2.0]), DOWN, {}, 7 / 9),
        (metrics.tau_ap, torch.tensor([3.0, 2.0, 4.0, 1.0]), DOWN, {}, 0),
        (metrics.tau_ap, -DOWN, DOWN, {}, -1),
        (metrics.alpha_ndcg, DOWN, DIVERSE, {}, 0.842628),
        (metrics.alpha_ndcg, DOWN, DIVERSE, {"alpha": 1.0, "k": 2}, (1 + 1 / log2(3)) / 2),
        (metrics.intent_aware_err, DOWN, DIVERSE, {}, 0.46875),
        (metrics.intent_aware_err, DOWN, DIVERSE, {"topic_weights": torch.tensor([1.0, 0.0])}, 0.5 + 0.25 / 2),
        (metrics.intent_aware_precision, DOWN, DIVERSE, {"k": 2}, 0.75),
        (metrics.intent_aware_precision, DOWN, DIVERSE, {"k": 5}, 0.4),
    ],
)
def test_formula(
    metric: Callable[..., Tensor], scores: Tensor, labels: Tensor, options: dict[str, Any], expected: float
) -> None:
    assert float(metric(scores.double(), labels, **options)) == pytest.approx(expected, abs=1e-6)


def ranking(order: str, items: str) -> tuple[Tensor, Tensor]:
    """Scores of all items, and which of them a ranking holds."""
    scores = torch.tensor([-order.find(item) * 1.0 for item in items]).double()
    return scores, torch.tensor([item in order for item in items])


@pytest.mark.parametrize(
    ("first", "second", "extended", "least"),
    [
        ("abc", "acd", 0.685, 0.366686),
        ("abcdefg", "cafgde", 0.742811, None),
        ("ab", "acbd", 0.759250, 0.366686),
        ("abc", "abc", 1.0, 0.522528),
        ("ab", "cd", 0.0, 0.0),
        ("ab", "", 0.0, 0.0),
    ],
)
def test_rank_biased_overlap(first: str, second: str, extended: float, least: float | None) -> None:
    items = "".join(sorted({*first, *second}))
    (scores, mask), (others, other_mask) = ranking(first, items), ranking(second, items)
    for a, b in (((scores, mask), (others, other_mask)), ((others, other_mask), (scores, mask))):
        found = metrics.rank_biased_overlap(a[0], b[0], a[1], b[1])
        assert float(found) == pytest.approx(extended, abs=1e-6)
        low = metrics.rank_biased_overlap(a[0], b[0], a[1], b[1], extrapolate=False)
        assert least is None or float(low) == pytest.approx(least, abs=1e-6)
    cut = metrics.rank_biased_overlap(scores, others, mask, other_mask, k=1)
    assert float(cut) == float(first[:1] == second[:1])
    module = metrics.RankBiasedOverlap(1, persistence=0.9)
    assert module.name == "RBO(0.9)@1"
    assert_close(module(scores, others, mask, other_mask), cut)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 3)), min_size=3, max_size=9))
def test_correlations_are_scipys(items: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    scores, labels = (torch.tensor(column).double() for column in zip(*items, strict=True))
    if len(set(scores.tolist())) > 1 and len(set(labels.tolist())) > 1:
        assert float(metrics.kendall_tau(scores, labels)) == pytest.approx(stats.kendalltau(scores, labels).statistic)
        assert float(metrics.spearman(scores, labels)) == pytest.approx(stats.spearmanr(scores, labels).statistic)
    else:
        assert metrics.kendall_tau(scores, labels, empty="skip").isnan()
        assert float(metrics.spearman(scores, labels, empty=-1.0)) == -1


def test_long_lists_are_compared_a_part_at_a_time() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    scores, labels = generator.integers(0, 50, 600).astype(float), generator.integers(0, 5, 600)
    found = metrics.kendall_tau(torch.from_numpy(scores), torch.from_numpy(labels))
    assert float(found) == pytest.approx(stats.kendalltau(scores, labels).statistic)


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        (metrics.DCG(3), "DCG@3", 2 / log2(3) + 3 / 2),
        (metrics.FMeasure(2), "F1@2", 0.4),
        (metrics.Success(2), "success@2", 1),
        (metrics.RPrecision(), "Rprec", 2 / 3),
        (metrics.ExpectedReciprocalRank(2, max_label=3.0), "ERR@2", 3 / 8 / 2),
        (metrics.RankBiasedPrecision(2, persistence=0.5), "RBP(0.5)@2", 0.25),
        (metrics.RankBiasedResidual(2, persistence=0.5), "RBP-residual(0.5)@2", 0.25),
        (metrics.BinaryPreference(), "bpref", (1 / 2 + 1 / 2 + 0) / 3),
        (metrics.InferredAveragePrecision(), "infAP", (1 / 2 + 2 / 3 + 3 / 5) / 3),
        (metrics.JudgedShare(3), "judged@3", 1),
        (metrics.AverageRelevancePosition(), "ARP", 3),
        (metrics.InterpolatedPrecision(1.0), "IPrec@1", 3 / 5),
        (metrics.OrderedPairAccuracy(), "OPA", 4 / 9),
        (metrics.KendallTau(), "Kendall tau-b", -1 / 90**0.5),
        (metrics.TauAP(), "tau-AP", None),
        (metrics.Spearman(), "Spearman", None),
    ],
)
def test_modules(module: Any, name: str, expected: float | None) -> None:
    assert module.name == name
    judged, tie_order = torch.tensor([3, 2, 1, 0, 0]), torch.arange(5)
    value = float(module(SCORES, LABELS, judged=judged, tie_order=tie_order))
    assert expected is None or value == pytest.approx(expected, abs=1e-5)
    soft = float(module(SCORES, LABELS, judged=judged, ranker=SoftRank(temperature=0.005)))
    assert soft == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("module", [metrics.AlphaNDCG(2), metrics.IntentAwarePrecision(2), metrics.IntentAwareERR(2)])
def test_modules_of_topics(module: Any) -> None:
    value = module(DOWN, DIVERSE, judged=DIVERSE)
    assert module.name.endswith("@2")
    assert_close(module(DOWN, DIVERSE, ranker=SoftRank(temperature=0.02)), value)
    assert_close(module(DOWN.expand(3, -1), DIVERSE.expand(3, -1, -1)), value.expand(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.f_measure(SCORES, LABELS, beta=0.0), "beta: expected a number above 0"),
        (lambda: metrics.r_precision(SCORES, LABELS, multiple=-1.0), "multiple: expected a number above 0"),
        (lambda: metrics.success(SCORES, LABELS, k=0), "k: expected a cut-off of at least 1"),
        (
            lambda: metrics.rank_biased_precision(SCORES, LABELS, persistence=1.0),
            "persistence: expected a number between",
        ),
        (
            lambda: metrics.rank_biased_overlap(SCORES, SCORES, persistence=0.0),
            "persistence: expected a number between",
        ),
        (
            lambda: metrics.rank_biased_overlap(SCORES, SCORES[:3]),
            r"others: expected the shape of scores \[5\], got \[3\]",
        ),
        (lambda: metrics.interpolated_precision(SCORES, LABELS, recall_level=2), "recall_level: expected a share"),
        (lambda: metrics.expected_reciprocal_rank(SCORES, LABELS, max_label=2), "labels: 3 is above max_label=2"),
        (lambda: metrics.intent_aware_err(DOWN, 2 * DIVERSE), "labels: 2 is above max_label=1"),
        (lambda: metrics.alpha_ndcg(DOWN, DIVERSE, alpha=1.5), "alpha: expected a share"),
        (lambda: metrics.alpha_ndcg(DOWN, DIVERSE[:, 0]), r"labels: expected \[4, 'topics'\].*got \[4\]"),
        (lambda: metrics.alpha_ndcg(DOWN, DIVERSE, judged=torch.ones(3, 5)), r"judged: expected \['judged', 2\]"),
        (
            lambda: metrics.intent_aware_err(DOWN, DIVERSE, topic_weights=torch.ones(3)),
            r"topic_weights: expected \[2\], got \[3\]",
        ),
        (lambda: metrics.ndcg(SCORES, LABELS * 100, gain="exp2"), "labels: up to 300, whose gain is no finite float32"),
        (lambda: metrics.ndcg(SCORES, LABELS, empty="none"), 'empty: expected a number or "skip"'),
        (lambda: metrics.recall(torch.tensor(1.0), torch.tensor(1.0)), "scores: expected items on the last axis"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    "metric",
    [
        metrics.f_measure,
        metrics.success,
        metrics.r_precision,
        metrics.binary_preference,
        metrics.average_relevance_position,
    ],
)
def test_empty(metric: Callable[..., Tensor]) -> None:
    labels = torch.stack([LABELS, torch.zeros_like(LABELS)])
    assert metric(SCORES.expand(2, -1), labels, empty="skip").isnan().tolist() == [False, True]
    assert float(metric(SCORES, labels[1], empty=1.0)) == 1
    assert float(metric(SCORES, labels[1], empty=nan).nan_to_num(7)) == 7
