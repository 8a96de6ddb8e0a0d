"""Metrics of hard ranks against their formulas, and of soft ranks against metrics of hard ranks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log2, nan
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad import metrics
from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank
from rankgrad.ops import soft_rank

SCORES = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.3])
LABELS = torch.tensor([1, 0, 3, 2, 0])
"""In order of score: 0, 2, 3, 0, 1."""
IDEAL = 3 / log2(2) + 2 / log2(3) + 1 / log2(4)
ALL = [metrics.ndcg, metrics.reciprocal_rank, metrics.average_precision, metrics.recall, metrics.precision]
with_empty = ALL[:-1]
lists = st.lists(
    st.tuples(st.integers(-30, 30), st.integers(0, 3)), min_size=2, max_size=10, unique_by=lambda item: item[0]
)


@pytest.mark.parametrize(
    ("metric", "options", "expected"),
    [
        (metrics.ndcg, {}, (2 / log2(3) + 3 / log2(4) + 1 / log2(6)) / IDEAL),
        (metrics.ndcg, {"k": 2}, (2 / log2(3)) / (3 / log2(2) + 2 / log2(3))),
        (metrics.ndcg, {"k": 100}, (2 / log2(3) + 3 / log2(4) + 1 / log2(6)) / IDEAL),
        (metrics.ndcg, {"gain": "exp2", "k": 3}, (3 / log2(3) + 7 / log2(4)) / (7 + 3 / log2(3) + 1 / log2(4))),
        (metrics.ndcg, {"k": 2, "judged": torch.tensor([3, 3, 1])}, (2 / log2(3)) / (3 + 3 / log2(3))),
        (metrics.reciprocal_rank, {}, 1 / 2),
        (metrics.reciprocal_rank, {"relevance_level": 3}, 1 / 3),
        (metrics.reciprocal_rank, {"relevance_level": 3, "k": 2}, 0),
        (metrics.average_precision, {}, (1 / 2 + 2 / 3 + 3 / 5) / 3),
        (metrics.average_precision, {"k": 3}, (1 / 2 + 2 / 3) / 3),
        (metrics.average_precision, {"relevance_level": 2}, (1 / 2 + 2 / 3) / 2),
        (metrics.average_precision, {"judged": torch.tensor([1, 1, 1, 1, 0, 1, 0])}, (1 / 2 + 2 / 3 + 3 / 5) / 5),
        (metrics.recall, {"k": 3}, 2 / 3),
        (metrics.recall, {}, 1),
        (metrics.recall, {"k": 3, "judged": torch.tensor([1, 2, 3, 1])}, 2 / 4),
        (metrics.precision, {"k": 3}, 2 / 3),
        (metrics.precision, {"k": 10}, 3 / 10),
        (metrics.precision, {}, 3 / 5),
        (metrics.precision, {"k": 3, "relevance_level": 3}, 1 / 3),
    ],
)
def test_formula(metric: Callable[..., Tensor], options: dict[str, Any], expected: float) -> None:
    assert float(metric(SCORES, LABELS, **options)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("module", "name", "function"),
    [
        (metrics.NDCG(3, gain="exp2"), "nDCG@3", partial(metrics.ndcg, k=3, gain="exp2")),
        (metrics.NDCG(), "nDCG", metrics.ndcg),
        (metrics.ReciprocalRank(2), "MRR@2", partial(metrics.reciprocal_rank, k=2)),
        (metrics.AveragePrecision(), "MAP", metrics.average_precision),
        (metrics.Recall(4), "recall@4", partial(metrics.recall, k=4)),
        (metrics.Precision(2), "P@2", partial(metrics.precision, k=2)),
    ],
)
def test_module_is_the_function_with_its_options(module: Any, name: str, function: Callable[..., Tensor]) -> None:
    assert module.name == name
    ranker = partial(soft_rank, temperature=0.3)
    assert_close(module(SCORES, LABELS), function(SCORES, LABELS))
    assert_close(module(SCORES, LABELS, ranker=ranker), function(SCORES, LABELS, ranker=ranker))
    mask, judged = LABELS < 3, torch.tensor([3, 2, 2, 1, 1])
    expected = function(SCORES, LABELS, mask, **({} if name == "P@2" else {"judged": judged}))
    assert_close(module(SCORES, LABELS, mask, judged=judged), expected)


@pytest.mark.parametrize("metric", with_empty)
def test_empty_is_the_value_of_a_query_without_relevant_documents(metric: Callable[..., Tensor]) -> None:
    labels = torch.stack([LABELS, torch.zeros_like(LABELS)])
    values = metric(SCORES.expand(2, -1), labels, empty=nan)
    assert values.isnan().tolist() == [False, True]
    unretrieved = metric(SCORES, torch.zeros_like(LABELS), judged=torch.tensor([1]), empty=nan)
    assert float(unretrieved) == 0


@pytest.mark.parametrize("metric", ALL)
def test_ties_go_to_the_lowest_index(metric: Callable[..., Tensor]) -> None:
    first, last = torch.tensor([1, 0, 0]), torch.tensor([0, 0, 1])
    tied = torch.zeros(3)
    assert float(metric(tied, first, k=1)) == 1
    assert float(metric(tied, last, k=1)) == 0


def test_negative_labels_gain_nothing() -> None:
    """trec_eval's -1 and -2 mark junk and unjudged documents."""
    assert_close(metrics.ndcg(SCORES, LABELS - 4 * (LABELS == 1)), metrics.ndcg(SCORES, LABELS * (LABELS != 1)))


@settings(deadline=None)
@given(lists)
def test_bounds_and_the_ideal_order(items: list[tuple[int, int]]) -> None:
    scores, labels = (torch.tensor(column) for column in zip(*items, strict=True))
    scores = scores.float()
    for metric in ALL:
        assert 0 <= float(metric(scores, labels, k=3)) <= 1
    if labels.any():
        assert float(metrics.ndcg(labels.float(), labels)) == pytest.approx(1)
        assert float(metrics.average_precision(labels.float(), labels)) == pytest.approx(1)


@settings(deadline=None)
@given(lists, st.sampled_from(ALL))
def test_towards_temperature_zero_a_soft_metric_becomes_the_hard_one(
    items: list[tuple[int, int]], metric: Callable[..., Tensor]
) -> None:
    scores, labels = (torch.tensor(column) for column in zip(*items, strict=True))
    for k in (None, 2):
        soft = metric(scores.float(), labels, k=k, ranker=SoftRank(temperature=0.01))
        assert_close(soft, metric(scores.float(), labels, k=k))


@pytest.mark.parametrize(("metric", "cut"), [(metrics.ndcg, None), *((metric, 1.0) for metric in ALL)])
def test_gradient_of_a_soft_metric_lifts_what_is_relevant(metric: Callable[..., Tensor], cut: float | None) -> None:
    """The only relevant document lies at the cut, one rank too low."""
    scores = torch.tensor([3.0, 2.0, 1.0, 0.0], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 0])
    metric(scores, labels, k=2, ranker=SoftRank(temperature=1.0), cut_temperature=cut).backward()
    assert scores.grad is not None
    assert scores.grad[2] > 0
    assert (scores.grad[:2] < 0).all()


def test_ramp_is_the_share_of_a_rank_within_the_cut() -> None:
    """Ranks 1.25, 2.5 and 3.25 at k = 2 weigh 1, 0.5 and 0."""
    ranks = torch.tensor([1.25, 2.5, 3.25])
    for place, expected in enumerate([1.0, 0.5, 0.0]):
        labels = torch.nn.functional.one_hot(torch.tensor(place), 3)
        assert float(metrics.recall(torch.zeros(3), labels, k=2, ranker=lambda x, /, *, mask=None: ranks)) == expected


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (metrics.ndcg, {"k": 0}, "k: expected a cut-off of at least 1"),
        (metrics.ndcg, {"gain": "log"}, 'gain: expected "linear", "exp2" or a function'),
        (metrics.ndcg, {"judged": torch.ones(2, 3)}, r"judged: expected \['?judged'?\].*got \[2, 3\]"),
        (metrics.ndcg, {"k": 2, "cut_temperature": 0.0}, "cut_temperature: expected a number above 0"),
        (metrics.recall, {"relevance_level": 0.0}, "relevance_level: expected a number above 0"),
    ],
)
def test_what_does_not_fit_is_named(metric: Callable[..., Tensor], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        metric(SCORES, LABELS, **options)


def test_labels_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"labels: expected the shape of scores \[5\], got \[4\]"):
        metrics.ndcg(SCORES, LABELS[:4])
