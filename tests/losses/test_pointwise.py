"""Pointwise, softmax and distillation losses, penalties."""

from __future__ import annotations

from math import log, log2
from typing import Any

import loss_formulas as formulas
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from rankgrad import losses
from rankgrad._checks import InputError
from rankgrad.losses.sparsity import flops_penalty

SCORES, LABELS = [0.3, -1.2, 2.0, 0.9, 0.1], [0, 2, 1, 2, 0]
S, Y = torch.tensor(SCORES, dtype=torch.float64), torch.tensor(LABELS)
TOY, TOY_LABELS = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1])


def test_pointwise_losses_are_torchs() -> None:
    probabilities = Y / 2
    expected = nn.functional.binary_cross_entropy_with_logits(S, probabilities.double())
    assert_close(losses.PointwiseBCELoss()(S, probabilities), expected)
    assert_close(losses.PointwiseMSELoss()(S, Y), nn.functional.mse_loss(S, Y.double()))


def test_ordinal_loss_is_its_formula() -> None:
    thresholds = [-0.5, 0.7]
    expected = sum(
        -log(formulas.sigmoid((1 if y >= g else -1) * (s - b)))
        for s, y in zip(SCORES, LABELS, strict=True)
        for g, b in enumerate(thresholds, 1)
    )
    assert float(losses.ordinal_loss(S, Y, thresholds=torch.tensor(thresholds))) == pytest.approx(
        expected / 5, rel=1e-6
    )
    module = losses.OrdinalLoss(grades=3)
    assert module.thresholds.tolist() == [-1, 0, 1]
    module(S, Y).backward()
    assert module.thresholds.grad is not None
    assert (module.thresholds.grad != 0).all()


def test_poly1_adds_what_the_softmax_misses() -> None:
    value = float(losses.poly1_softmax_loss(TOY, TOY_LABELS))
    cross_entropy = -sum(y / 3 * formulas.log_softmax([2, 1, 0], i) for i, y in enumerate([0, 2, 1]))
    given = sum(y / 3 * 2.718281828459045 ** formulas.log_softmax([2, 1, 0], i) for i, y in enumerate([0, 2, 1]))
    assert value == pytest.approx(cross_entropy + 1 - given)
    assert value == pytest.approx(2.547777, abs=1e-6)
    smoothed = nn.functional.cross_entropy(S[None], torch.tensor([2]))
    assert_close(losses.Poly1SoftmaxLoss(epsilon=0.0)(S, Y == 1), smoothed)


@pytest.mark.parametrize(
    ("discount", "weigh"), [("log2", lambda r: 1 / log2(1 + r)), ("reciprocal", lambda r: 1 / r), ("none", lambda r: 1)]
)
def test_rank_mse_is_its_formula(discount: Any, weigh: Any) -> None:
    found, wanted = formulas.soft_ranks(SCORES, 0.5), formulas.mean_ranks(LABELS)
    expected = sum(weigh(r) * (r - q) ** 2 for r, q in zip(wanted, found, strict=True)) / 5
    assert float(losses.RankMSELoss(temperature=0.5, discount=discount)(S, Y)) == pytest.approx(expected)


def test_pearson_is_its_formula_and_scipys() -> None:
    teacher = [1.0, 0.5, 3.0, -2.0, 0.0]
    loss = float(losses.PearsonDistillLoss()(S, torch.tensor(teacher)))
    assert loss == pytest.approx(1 - formulas.pearson(SCORES, teacher))
    stats = pytest.importorskip("scipy.stats")
    assert loss == pytest.approx(1 - stats.pearsonr(SCORES, teacher).statistic)
    assert_close(losses.pearson_distill_loss(3 * S + 9, torch.tensor(teacher)).item(), loss)


def test_filtered_negatives_do_not_count() -> None:
    scores, labels = torch.tensor([2.0, 1.95, 1.0, 1.8]), torch.tensor([1, 0, 0, 1])
    kept = torch.tensor([True, False, True, True])
    expected = losses.info_nce_loss(scores, labels, kept)
    assert_close(losses.InfoNCELoss(filter_margin=0.1)(scores, labels), expected)
    assert_close(losses.InfoNCELoss(filter_margin=0.05, filter_relative=True)(scores, labels), expected)
    guide = torch.tensor([0.9, 0.2, 0.95, 0.9])
    expected = losses.info_nce_loss(scores, labels, torch.tensor([True, True, False, True]))
    assert_close(losses.InfoNCELoss(filter_margin=0.0)(scores, labels, guide=guide), expected)


def test_penalties() -> None:
    activations, mask = torch.rand(4, 6), torch.tensor([True, True, True, False])
    expected = activations[:3].mean(dim=0).square().sum()
    assert_close(losses.FlopsPenalty(2.0)(activations, mask), 2 * expected)
    assert_close(flops_penalty(activations[:3].view(1, 3, 6)), expected)
    assert_close(losses.L1Penalty(2.0)(-activations, mask), 2 * activations[:3].sum(dim=1).mean())
    nothing = activations.requires_grad_()
    losses.FlopsPenalty()(nothing, torch.zeros_like(mask)).backward()
    assert_close(nothing.grad, torch.zeros_like(nothing))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.pointwise_bce_loss(S, Y), "labels: expected probabilities from 0 to 1"),
        (lambda: losses.ordinal_loss(S, Y, thresholds=torch.zeros(0)), r"thresholds: expected shape \[grades\]"),
        (lambda: losses.ordinal_loss(S, Y, thresholds=torch.zeros(1)), "labels: expected grades from 0 to 1"),
        (lambda: losses.OrdinalLoss(grades=0), "grades: expected at least 1"),
        (lambda: losses.Poly1SoftmaxLoss(epsilon=-2.0), "epsilon: expected a number above -1"),
        (lambda: losses.RankMSELoss(discount="log"), "discount: expected one of"),  # type: ignore[arg-type]
        (lambda: losses.InfoNCELoss(filter_margin=-0.1), "filter_margin: expected a number of at least 0"),
        (lambda: losses.info_nce_loss(S, Y, guide=S), "guide: expected None without a filter_margin"),
        (lambda: losses.info_nce_loss(S, Y, guide=S[:2], filter_margin=0.1), "guide: expected the shape of scores"),
    ],
)
def test_bad_options(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
