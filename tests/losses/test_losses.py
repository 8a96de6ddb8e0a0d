"""Losses against their formulas."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from math import exp, inf, log
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from rankgrad import losses, metrics
from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank
from rankgrad.ops import maxsim

SCORES = torch.tensor([1.0, 0.5, -1.0, 2.0])
LABELS = torch.tensor([2, 1, 0, 0])
TEACHER = torch.tensor([3.0, 2.5, -0.5, 0.0])
NAMED = {
    losses.softmax_loss: losses.SoftmaxLoss(temperature=0.5),
    losses.info_nce_loss: losses.InfoNCELoss(temperature=0.5),
    losses.kl_distill_loss: losses.KLDistillLoss(temperature=0.5),
}
numbers = st.lists(st.tuples(st.floats(-5, 5, width=32), st.floats(-5, 5, width=32)), min_size=2, max_size=8)


def log_softmax(values: list[float], place: int) -> float:
    return values[place] - log(sum(map(exp, values)))


HALVED = [value / 0.5 for value in SCORES.tolist()]
KL = sum(
    exp(log_softmax(TEACHER.tolist(), i)) * (log_softmax(TEACHER.tolist(), i) - log_softmax(SCORES.tolist(), i))
    for i in range(4)
)
MARGINS = [(float(SCORES[i] - SCORES[j]) - float(TEACHER[i] - TEACHER[j])) ** 2 for i, j in combinations(range(4), 2)]


@pytest.mark.parametrize(
    ("loss", "labels", "expected"),
    [
        (
            losses.softmax_loss,
            LABELS,
            -2 / 3 * log_softmax(SCORES.tolist(), 0) - 1 / 3 * log_softmax(SCORES.tolist(), 1),
        ),
        (losses.SoftmaxLoss(temperature=0.5), LABELS, -2 / 3 * log_softmax(HALVED, 0) - 1 / 3 * log_softmax(HALVED, 1)),
        (
            losses.info_nce_loss,
            LABELS,
            -0.5 * log_softmax([1.0, -1.0, 2.0], 0) - 0.5 * log_softmax([0.5, -1.0, 2.0], 0),
        ),
        (losses.InfoNCELoss(temperature=0.5), torch.tensor([1, 0, 0, 0]), -log_softmax(HALVED, 0)),
        (losses.margin_mse_loss, TEACHER, sum(MARGINS) / 6),
        (losses.MarginMSELoss(), SCORES + 3, 0.0),
        (losses.kl_distill_loss, TEACHER, KL),
        (partial(losses.kl_distill_loss, scale_by_temperature=True), TEACHER, KL),
    ],
)
def test_formula(loss: Callable[..., Tensor], labels: Tensor, expected: float) -> None:
    assert float(loss(SCORES, labels)) == pytest.approx(expected, abs=1e-6)


def test_info_nce_of_one_positive_is_the_cross_entropy_of_in_batch_negatives() -> None:
    scores = torch.randn(5, 5)
    expected = nn.functional.cross_entropy(scores / 0.2, torch.arange(5))
    assert_close(losses.info_nce_loss(scores, torch.eye(5), temperature=0.2), expected)


def test_positives_do_not_push_each_other_down() -> None:
    scores = torch.tensor([1.0, 3.0, 0.0], requires_grad=True)
    losses.info_nce_loss(scores, torch.tensor([1, 1, 0])).backward()
    assert scores.grad is not None
    assert (scores.grad[:2] < 0).all()
    assert scores.grad[2] > 0


def test_margin_mse_of_a_pair_is_the_published_loss() -> None:
    s, t = torch.randn(10, 2), torch.randn(10, 2)
    expected = nn.functional.mse_loss(s[:, 0] - s[:, 1], t[:, 0] - t[:, 1])
    assert_close(losses.margin_mse_loss(s, t), expected)


def test_kl_is_torchs_and_scales_by_the_squared_temperature() -> None:
    s, t = torch.randn(6, 5), torch.randn(6, 5)
    distributions = (s / 3).log_softmax(-1), (t / 3).log_softmax(-1)
    expected = nn.functional.kl_div(*distributions, log_target=True, reduction="batchmean")
    assert_close(losses.kl_distill_loss(s, t, temperature=3.0), expected)
    assert_close(losses.kl_distill_loss(s, t, temperature=3.0, scale_by_temperature=True), 9 * expected)
    assert_close(losses.KLDistillLoss(temperature=3.0, scale_by_temperature=True)(s, t), 9 * expected)


@settings(deadline=None)
@given(numbers)
def test_distillation_is_never_negative_and_zero_for_equal_scores(items: list[tuple[float, float]]) -> None:
    s, t = map(torch.tensor, zip(*items, strict=True))
    for loss in (losses.margin_mse_loss, losses.kl_distill_loss):
        assert float(loss(s, t)) >= -1e-6
        assert float(loss(t + 1.5, t)) == pytest.approx(0, abs=1e-5)


@settings(deadline=None)
@given(numbers, st.floats(-10, 10))
def test_a_shift_of_a_lists_scores_changes_nothing(items: list[tuple[float, float]], shift: float) -> None:
    s, t = (torch.tensor(column, dtype=torch.float64) for column in zip(*items, strict=True))
    labels = (t > 0).double()
    for loss in (losses.softmax_loss, losses.info_nce_loss, losses.approx_ndcg_loss):
        assert_close(loss(s + shift, labels), loss(s, labels))
    for loss in (losses.margin_mse_loss, losses.kl_distill_loss):
        assert_close(loss(s + shift, t), loss(s, t))


@pytest.mark.parametrize("loss", [losses.softmax_loss, losses.info_nce_loss, losses.approx_ndcg_loss])
def test_lists_without_a_positive_do_not_count(loss: Callable[..., Tensor]) -> None:
    scores, labels = torch.randn(2, 4), torch.stack([LABELS, torch.zeros_like(LABELS)])
    assert_close(loss(scores, labels), loss(scores[0], labels[0]))
    assert float(loss(scores, labels, reduction="none")[1]) == 0


@pytest.mark.parametrize("loss", [losses.margin_mse_loss, losses.kl_distill_loss])
def test_lists_of_one_do_not_count(loss: Callable[..., Tensor]) -> None:
    scores, mask = torch.randn(2, 4), torch.tensor([[True] * 4, [True, False, False, False]])
    assert_close(loss(scores, TEACHER.expand(2, -1), mask), loss(scores[0], TEACHER))


@pytest.mark.parametrize("loss", [losses.softmax_loss, losses.info_nce_loss])
def test_a_document_without_tokens_is_a_finite_negative(loss: Callable[..., Tensor]) -> None:
    """MaxSim scores it -inf: the loss and every gradient stay finite."""
    documents = torch.randn(3, 4, 8, requires_grad=True)
    mask = torch.tensor([[True] * 4, [False] * 4, [True] * 4])
    value = loss(maxsim(torch.randn(1, 3, 8), documents, None, mask)[0], torch.tensor([1, 0, 0]))
    value.backward()
    assert documents.grad is not None
    assert value.isfinite()
    assert documents.grad.isfinite().all()
    only_empty = torch.tensor([1.0, -inf, -inf], requires_grad=True)
    loss(only_empty, torch.tensor([1, 0, 0])).backward()
    assert_close(only_empty.grad, torch.zeros(3))


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_extreme_scores_stay_finite(scale: float) -> None:
    scores = (SCORES * scale).requires_grad_()
    for loss in (losses.softmax_loss, losses.info_nce_loss, losses.approx_ndcg_loss):
        value = loss(scores, LABELS)
        (gradient,) = torch.autograd.grad(value, scores)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_approx_ndcg_is_the_metric_loss_of_ndcg() -> None:
    options: dict[str, Any] = {"temperature": 0.3, "k": 2, "gain": "linear", "cut_temperature": 0.4}
    metric = metrics.NDCG(k=2, cut_temperature=0.4)
    expected = losses.MetricLoss(metric, ranker=SoftRank(temperature=0.3))(SCORES, LABELS)
    assert_close(losses.approx_ndcg_loss(SCORES, LABELS, **options), expected)
    assert_close(losses.ApproxNDCG(**options)(SCORES, LABELS), expected)


@pytest.mark.parametrize(
    "metric",
    [metrics.NDCG(2), metrics.ReciprocalRank(), metrics.AveragePrecision(), metrics.Recall(2), metrics.Precision(2)],
)
def test_metric_loss_of_sharp_ranks_is_one_minus_the_metric(metric: Any) -> None:
    loss = losses.MetricLoss(metric, ranker=SoftRank(temperature=1e-3))
    assert_close(loss(SCORES, LABELS), 1 - metric(SCORES, LABELS))


def test_training_on_approx_ndcg_orders_a_list() -> None:
    scores = torch.tensor([0.0, 0.1, 0.2, 0.3], requires_grad=True)
    labels = torch.tensor([3, 2, 1, 0])
    optimiser = torch.optim.SGD([scores], lr=0.5)
    for _ in range(100):
        optimiser.zero_grad()
        losses.approx_ndcg_loss(scores, labels, temperature=0.5).backward()
        optimiser.step()
    assert float(metrics.ndcg(scores.detach(), labels)) == pytest.approx(1)


@pytest.mark.parametrize("function", NAMED, ids=lambda function: function.__name__)
def test_module_is_the_function_with_its_options(function: Callable[..., Tensor]) -> None:
    scores, mask = torch.randn(3, 4), torch.tensor([True, True, False, True]).expand(3, -1)
    labels = LABELS.expand(3, -1)
    assert_close(NAMED[function](scores, labels, mask), function(scores, labels, mask, temperature=0.5))


@pytest.mark.parametrize("loss", [*NAMED, losses.approx_ndcg_loss])
def test_temperature_must_be_above_zero(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match=r"temperature: expected a number above 0, got -1"):
        loss(SCORES, LABELS, temperature=-1)


@pytest.mark.parametrize("module", [losses.SoftmaxLoss, losses.InfoNCELoss, losses.KLDistillLoss, losses.ApproxNDCG])
def test_a_configuration_fails_before_training(module: Any) -> None:
    with pytest.raises(InputError, match=r"temperature: expected a number above 0"):
        module(temperature=0.0)
