"""Losses of pairs against their formulas and other libraries."""

from __future__ import annotations

from itertools import product
from math import log, log2
from typing import Any

import loss_formulas as formulas
import pytest
import torch
from torch.testing import assert_close

from rankgrad import losses
from rankgrad._checks import InputError

SCORES, LABELS = [0.3, -1.2, 2.0, 0.9, 0.1], [0, 2, 1, 2, 0]
S, Y = torch.tensor(SCORES, dtype=torch.float64), torch.tensor(LABELS)
TOY, TOY_LABELS = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1])
WEIGHTINGS: tuple[Any, ...] = ("lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2++", "arp_loss1", "arp_loss2")


@pytest.mark.parametrize(("weighting", "k"), list(product(WEIGHTINGS, (None, 2))))
def test_lambda_loss_is_its_formula(weighting: Any, k: int | None) -> None:
    expected = formulas.lambda_loss(SCORES, LABELS, weighting, k, mu=5.0)
    loss = losses.LambdaLoss(weighting=weighting, k=k, mu=5.0)
    assert float(loss(S, Y)) == pytest.approx(expected, rel=1e-12)
    assert float(losses.lambda_loss(S / 2, Y, weighting=weighting, k=k, mu=5.0, sigma=2.0)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weighting", "mu", "expected"),
    [
        ("lambda_rank", 10, 1.032893),
        ("ndcg_loss2", 10, 0.780273),
        ("ndcg_loss2++", 10, 8.835623),
        ("ndcg_loss2++", 5, 4.934258),
        ("ndcg_loss1", 10, 1.906715),
        ("arp_loss1", 10, 9.656299),
        ("arp_loss2", 10, 7.309722),
    ],
)
def test_lambda_loss_of_three(weighting: Any, mu: float, expected: float) -> None:
    assert float(losses.lambda_loss(TOY, TOY_LABELS, weighting=weighting, mu=mu)) == pytest.approx(expected, abs=1e-5)


def test_ndcg_loss2_discounts_by_the_distance_and_one_more() -> None:
    """pytorchltr's test has 0.31026 here: it takes distances one too large. The published formula gives 0.743806."""
    scores, labels = [0.5, 2.0, 1.0], [2, 0, 1]
    value = losses.lambda_loss(torch.tensor(scores), torch.tensor(labels), weighting="ndcg_loss2")
    assert float(value) == pytest.approx(0.743806, abs=1e-6)
    gain, ranks = [3 / (3 + 1 / log2(3)), 0.0, 1 / (3 + 1 / log2(3))], [3, 1, 2]
    shifted = sum(
        (1 / log2(2 + abs(ranks[i] - ranks[j])) - 1 / log2(3 + abs(ranks[i] - ranks[j])))
        * abs(gain[i] - gain[j])
        * log2(1 + 2.718281828459045 ** (scores[j] - scores[i]))
        for i, j in formulas.pairs(labels)
    )
    assert shifted == pytest.approx(0.31026, abs=1e-5)


def test_linear_gain() -> None:
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    scores = torch.randn(4)
    assert_close(losses.lambda_loss(scores, labels, gain="linear"), losses.lambda_loss(scores, labels))
    assert losses.lambda_loss(scores, 2 * labels, gain="linear") == losses.lambda_loss(scores, labels)


def test_lambda_loss_is_sentence_transformers_times_the_pairs() -> None:
    schemes = pytest.importorskip("sentence_transformers.cross_encoder.losses")
    ranked = S.sort(descending=True).values[None]
    labels = Y[S.argsort(descending=True)][None].double()
    best = formulas.ideal(LABELS)
    discount = torch.log2(torch.arange(2, 7).double())[None]
    weights = schemes.NDCGLoss2PPScheme(mu=10.0)((2**labels - 1) / best, discount, labels)
    costs = -torch.nn.functional.logsigmoid(ranked[:, :, None] - ranked[:, None]) / log(2)
    expected = (weights * costs)[labels[:, :, None] > labels[:, None]].sum()
    assert_close(losses.lambda_loss(S, Y), expected)


def test_ranknet_and_hinge_are_their_formulas() -> None:
    pairs = len(formulas.pairs(LABELS))
    assert float(losses.ranknet_loss(S, Y)) == pytest.approx(formulas.ranknet(SCORES, LABELS) / pairs)
    assert float(losses.RankNetLoss(sigma=2.0, pairs="sum")(S / 2, Y)) == pytest.approx(
        formulas.ranknet(SCORES, LABELS)
    )
    expected = formulas.hinge(SCORES, LABELS, 0.7)
    assert float(losses.pairwise_hinge_loss(S, Y, margin=0.7)) == pytest.approx(expected / pairs)
    assert float(losses.PairwiseHingeLoss(margin=0.7, pairs="sum")(S, Y)) == pytest.approx(expected)
    assert float(losses.ranknet_loss(TOY, TOY_LABELS, pairs="sum")) == pytest.approx(3.753451, abs=1e-6)
    assert float(losses.ranknet_loss(TOY, torch.tensor([-1, -3, -2]))) == pytest.approx(0.584484, abs=1e-6)


def test_a_pair_is_torchs_margin_ranking_loss_and_cross_entropy() -> None:
    s, y = torch.randn(10, 2), torch.tensor([1, 0]).expand(10, -1)
    hinge = torch.nn.functional.margin_ranking_loss(s[:, 0], s[:, 1], torch.ones(10), margin=0.5)
    assert_close(losses.pairwise_hinge_loss(s, y, margin=0.5), hinge)
    logistic = torch.nn.functional.binary_cross_entropy_with_logits(s[:, 0] - s[:, 1], torch.ones(10))
    assert_close(losses.ranknet_loss(s, y), logistic)


def test_triplets_are_torchs() -> None:
    """Of one positive and one negative: with minus the distances for scores."""
    query, positive, negative = torch.randn(3, 8, 4)
    distances = torch.stack([(query - other).norm(dim=-1) for other in (positive, negative)], dim=-1)
    expected = torch.nn.functional.triplet_margin_loss(query, positive, negative, margin=0.3, eps=0.0)
    for negatives in ("all", "hardest"):
        loss = losses.TripletLoss(margin=0.3, negatives=negatives)  # type: ignore[arg-type]
        assert_close(loss(-distances, torch.tensor([1, 0]).expand(8, -1)), expected)


def test_hardest_negatives() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0])
    expected = sum(max(0.0, 1 - SCORES[p] + 2.0) for p in (1, 3)) / 2
    assert float(losses.triplet_loss(S, labels, negatives="hardest")) == pytest.approx(expected)
    every = [max(0.0, 1 - SCORES[p] + SCORES[n]) for p in (1, 3) for n in (0, 2, 4)]
    assert float(losses.triplet_loss(S, labels)) == pytest.approx(sum(every) / 6)


def test_constant_margins_are_the_mean_over_pairs() -> None:
    labels = torch.tensor([0, 1, 0, 2, -1])
    pairs = [(SCORES[p] - SCORES[n] - 1.5) ** 2 for p in (1, 3) for n in (0, 2, 4)]
    assert float(losses.ConstantMarginMSELoss(margin=1.5)(S, labels)) == pytest.approx(sum(pairs) / 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.LambdaLoss(weighting="ndcg"), "weighting: expected one of lambda_rank"),  # type: ignore[arg-type]
        (lambda: losses.LambdaLoss(k=0), "k: expected a cut-off of at least 1"),
        (lambda: losses.LambdaLoss(mu=0.0), "mu: expected a number above 0"),
        (lambda: losses.lambda_loss(S, Y * 600), "labels: up to 1200, whose gain is no finite float64"),
        (lambda: losses.lambda_loss(S, Y, gain="e"), "gain: expected"),  # type: ignore[arg-type]
        (lambda: losses.ranknet_loss(S, Y, pairs="all"), "pairs: expected"),  # type: ignore[arg-type]
        (lambda: losses.RankNetLoss(sigma=0.0), "sigma: expected a number above 0"),
        (lambda: losses.PairwiseHingeLoss(margin=-1.0), "margin: expected a number above 0"),
        (lambda: losses.TripletLoss(negatives="some"), "negatives: expected"),  # type: ignore[arg-type]
    ],
)
def test_bad_options(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
