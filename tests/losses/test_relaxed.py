"""Losses of relaxed permutations and indicators against matrices written out."""

from __future__ import annotations

from math import log
from typing import Any

import loss_formulas as formulas
import pytest
import torch
from torch.testing import assert_close

from rankgrad import losses, metrics
from rankgrad._checks import InputError
from rankgrad.modules.soft_ranking import SoftRank

SCORES, LABELS = [0.3, -1.2, 2.0, 0.9, 0.1], [0, 2, 1, 2, 0]
S, Y = torch.tensor(SCORES, dtype=torch.float64), torch.tensor(LABELS)
TOY, TOY_LABELS = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1])


@pytest.mark.parametrize(("k", "iterations"), [(None, 0), (None, 3), (2, 1)])
def test_neural_ndcg_is_its_formula(k: int | None, iterations: int) -> None:
    matrix = formulas.sinkhorn(formulas.neural_sort(SCORES, 1.0), iterations)
    loss = losses.NeuralNDCG(k=k, iterations=iterations)
    assert float(loss(S, Y)) == pytest.approx(1 - formulas.relaxed_ndcg(matrix, LABELS, k))


@pytest.mark.parametrize(("iterations", "expected"), [(0, 0.769044), (50, 0.715194)])
def test_neural_ndcg_of_three(iterations: int, expected: float) -> None:
    assert float(1 - losses.neural_ndcg_loss(TOY, TOY_LABELS, iterations=iterations)) == pytest.approx(
        expected, abs=1e-5
    )


def test_equal_scores_give_every_item_the_mean_discount() -> None:
    """So allRank's, here and with its own gain only."""
    assert float(1 - losses.neural_ndcg_loss(torch.zeros(3), TOY_LABELS)) == pytest.approx(0.782510, abs=1e-6)


def test_pi_rank_is_its_formula() -> None:
    for k in (None, 3):
        expected = 1 - formulas.relaxed_ndcg(formulas.neural_sort(SCORES, 2.0), LABELS, k)
        assert float(losses.PiRank(temperature=2.0, k=k)(S, Y)) == pytest.approx(expected)
    assert float(losses.pi_rank_loss(TOY, TOY_LABELS)) == pytest.approx(0.185746, abs=1e-6)


def test_pi_rank_straight_through_has_the_hard_value_and_the_soft_gradient() -> None:
    x = S.clone().requires_grad_()
    hard, soft = (losses.pi_rank_loss(x, Y, k=3, straight_through=through) for through in (True, False))
    assert_close(hard.detach(), 1 - metrics.ndcg(S, Y, k=3, gain="exp2"))
    assert_close(*(torch.autograd.grad(value, x)[0] for value in (hard, soft)))


def test_smooth_indicators_are_their_formula() -> None:
    for k, alpha, delta in ((3, 2.0, 0.1), (5, 1.0, 0.3)):
        rows = formulas.smooth_indicators(SCORES, k, alpha, delta)
        expected = 1 - formulas.relaxed_ndcg(rows, LABELS, k)
        assert float(losses.SmoothI(k=k, alpha=alpha, delta=delta)(S, Y)) == pytest.approx(expected)
    assert float(1 - losses.smooth_i_loss(TOY, TOY_LABELS)) == pytest.approx(0.679052, abs=1e-6)


def test_top_k_cross_entropy_is_its_formula() -> None:
    matrix = formulas.sinkhorn(formulas.neural_sort(SCORES, 1.0), 60)
    chance = sum(p * sum(row[2] for row in matrix[:k]) for k, p in ((1, 0.25), (3, 0.75)))
    loss = losses.TopKCrossEntropyLoss(probabilities=(0.25, 0.0, 0.75), iterations=60)
    assert float(loss(S, Y == 1)) == pytest.approx(-log(chance * (1 - 2e-7) + 1e-7))
    # A list no longer than k reaches every item.
    assert float(losses.top_k_cross_entropy_loss(S[:2], Y[:2], probabilities=(0.0, 1.0))) == pytest.approx(0, abs=1e-5)


def test_training_a_cascade_is_the_published_loss() -> None:
    stages = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([1, 0, 0])
    kept = []
    for scores in stages.tolist():
        matrix = formulas.neural_sort(scores, 1.0)
        kept.append([matrix[0][i] / (sum(row[i] for row in matrix) + 1e-6) for i in range(3)])
    assert kept[0] == pytest.approx([0.762132, 0.239759, 0.013959], abs=1e-5)
    assert float(losses.lcron_loss(stages, labels, k=1)) == pytest.approx(1.206916, abs=1e-5)
    for count, items, whole, single in ((2, 40, 0.741551, 0.562335), (3, 50, 0.972088, 0.500402)):
        value = losses.lcron_loss(torch.zeros(count, items).double(), torch.arange(items), k=10)
        assert float(value) == pytest.approx(whole + count * single / 2, abs=5e-5)


def test_labels_tied_at_a_cascades_cut_share_its_places() -> None:
    stages = torch.randn(2, 4, dtype=torch.float64)
    expected = [losses.lcron_loss(stages, torch.tensor(y), k=2) for y in ([3, 2, 1, 0], [3, 1, 2, 0], [3, 1, 0, 2])]
    assert_close(losses.lcron_loss(stages, torch.tensor([3, 1, 1, 1]), k=2), sum(expected) / 3)


def test_a_cascades_scales_are_learnt() -> None:
    loss = losses.LCRONLoss(stages=2, k=(2, 1))
    loss(torch.randn(2, 3, 5), torch.randint(0, 3, (3, 5))).backward()
    assert loss.log_scales.grad is not None
    assert (loss.log_scales.grad != 0).all()


def test_approx_mrr_is_the_metric_loss_of_the_reciprocal_rank() -> None:
    expected = losses.MetricLoss(metrics.ReciprocalRank(), ranker=SoftRank(temperature=0.3))(S, Y)
    assert_close(losses.ApproxMRR(temperature=0.3)(S, Y), expected)


@pytest.mark.parametrize(
    "loss", [losses.NeuralNDCG(temperature=0.02), losses.PiRank(temperature=0.02), losses.SmoothI(alpha=200.0, k=5)]
)
def test_sharp_ones_are_one_minus_ndcg(loss: Any) -> None:
    assert_close(loss(S, Y), 1 - metrics.ndcg(S, Y, gain="exp2"), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.TopKCrossEntropyLoss(probabilities=(0.5,)), "probabilities: expected numbers"),
        (lambda: losses.SmoothI(delta=0.0), "delta: expected a number above 0"),
        (lambda: losses.NeuralNDCG(k=0), "k: expected a cut-off"),
        (lambda: losses.lcron_loss(S, Y), r"scores: expected shape \[stages, ..., items\]"),
        (
            lambda: losses.lcron_loss(torch.zeros(2, 5), Y, k=(1,)),
            "k: expected one number, or one for each of 2 stages",
        ),
        (lambda: losses.lcron_loss(torch.zeros(2, 5), Y, k=0), "k: expected a cut-off"),
        (
            lambda: losses.lcron_loss(torch.zeros(2, 5), Y, log_scales=torch.zeros(3)),
            r"log_scales: expected shape \[2\]",
        ),
    ],
)
def test_bad_options(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    "metric",
    [
        metrics.ExpectedReciprocalRank(k=3),
        metrics.AveragePrecision(k=3),
        # A ramp has a slope only between the places k and k + 1.
        metrics.Precision(k=3, cut_temperature=0.03),
        metrics.Recall(k=3, cut_temperature=0.03),
        metrics.Spearman(),
    ],
    ids=lambda metric: metric.name,
)
def test_soft_metrics_are_compositions(metric: Any) -> None:
    """Of sharp ranks 1 minus the metric; of soft ones with a gradient."""
    x = S.clone().requires_grad_()
    sharp, soft = (losses.MetricLoss(metric, ranker=SoftRank(temperature=t)) for t in (1e-4, 0.5))
    assert_close(sharp(S, Y), 1 - metric(S, Y), atol=1e-6, rtol=0)
    (gradient,) = torch.autograd.grad(soft(x, Y), x)
    assert gradient.isfinite().all()
    assert (gradient != 0).any()
