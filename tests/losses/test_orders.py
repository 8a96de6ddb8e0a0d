"""Losses of whole orders against their formulas."""

from __future__ import annotations

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
TOY, TOY_LABELS = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64), torch.tensor([0, 2, 1])


def test_list_mle_is_its_formula() -> None:
    terms = formulas.list_mle_terms(SCORES, LABELS)
    assert float(losses.list_mle_loss(S, Y)) == pytest.approx(sum(terms))
    assert float(losses.ListMLELoss(k=3, temperature=0.5)(S / 2, Y)) == pytest.approx(terms[1] + terms[3] + terms[2])
    assert float(losses.list_mle_loss(TOY, TOY_LABELS)) == pytest.approx(3.534534, abs=1e-6)


def test_ties_of_labels_together_or_one_by_one() -> None:
    one_by_one = formulas.list_mle_terms(SCORES, [1, 4, 2, 3, 0])
    assert float(losses.list_mle_loss(S, Y, ties="lowest_index")) == pytest.approx(sum(one_by_one))
    swapped = [0, 2, 1, 3, 4]
    assert_close(losses.list_mle_loss(S[swapped], Y[swapped]), losses.list_mle_loss(S, Y))


def test_list_mle_is_minus_the_log_likelihood_of_the_order() -> None:
    order = tuple(torch.tensor([1, 3, 0]).argsort(descending=True).tolist())
    expected = -log(formulas.plackett_luce([0.4, -0.3, 1.0])[order])
    assert float(losses.list_mle_loss(torch.tensor([0.4, -0.3, 1.0]), torch.tensor([1, 3, 0]))) == pytest.approx(
        expected
    )


def test_padding_does_not_enter_the_normaliser() -> None:
    """sentence-transformers' did until its pull request 3827."""
    padded, mask = torch.cat([TOY, torch.tensor([50.0])]), torch.tensor([True, True, True, False])
    assert_close(losses.list_mle_loss(padded, torch.tensor([0, 2, 1, 3]), mask), losses.list_mle_loss(TOY, TOY_LABELS))


def test_p_list_mle_is_its_formula() -> None:
    terms = formulas.list_mle_terms([2.0, 1.0, 0.0], [0, 2, 1])
    expected = (3 * terms[1] + terms[2]) / 4
    assert float(losses.p_list_mle_loss(TOY, TOY_LABELS)) == pytest.approx(expected)
    assert expected == pytest.approx(1.587436, abs=1e-6)
    terms = formulas.list_mle_terms(SCORES, LABELS)
    places = [4.5, 1.5, 3, 1.5, 4.5]
    expected = sum((2 ** (5 - p) - 1) * t for p, t in zip(places, terms, strict=True)) / (2**5 - 6)
    assert float(losses.PListMLELoss()(S, Y)) == pytest.approx(expected)


def test_p_list_mle_of_a_long_list_does_not_overflow() -> None:
    value = losses.p_list_mle_loss(torch.zeros(300), torch.arange(300).flip(0), ties="lowest_index")
    assert float(value) == pytest.approx(sum(0.5 ** (i + 1) * log(300 - i) for i in range(60)), rel=1e-4)


def test_unique_softmax_is_its_formula_and_list_mle_where_labels_are_distinct() -> None:
    expected = formulas.unique_softmax(SCORES, LABELS)
    assert float(losses.UniqueSoftmaxLoss(temperature=0.5)(S / 2, Y)) == pytest.approx(expected)
    labels = torch.tensor([4, 0, 3, 1, 2])
    published = losses.p_list_mle_loss(S, labels) * (2**5 - 6)
    assert_close(losses.unique_softmax_loss(S, labels), published)
    assert_close(
        losses.unique_softmax_loss(S, Y.clamp(max=1)), losses.unique_softmax_loss(S, Y.clamp(max=1), gain="linear")
    )


@pytest.mark.parametrize("order", ["teacher", "reversed"])
def test_m3_distillation_is_flag_embeddings_for_lists_best_first(order: str) -> None:
    """Its code masks, for the i-th item, those given before it."""
    scores, teacher = [2.0, 1.0, 0.0, -1.0], [3.0, 2.5, 1.0, -float("inf")]
    shares = [formulas.log_softmax([3.0, 2.5, 1.0], i) for i in range(3)]
    expected = sum(torch.tensor(shares[i]).exp() * -formulas.log_softmax(scores[i:], 0) for i in range(3))
    s, t = torch.tensor(scores), torch.tensor(teacher)
    if order == "reversed":
        s, t = s.flip(0), t.flip(0)
    assert float(losses.M3DistillLoss()(s, t)) == pytest.approx(float(expected))


def test_fenchel_young_is_its_formula() -> None:
    labels = torch.tensor([2, 3, 1])
    for scores, expected, gradient in (
        ([1.0, 0.2, 0.0], 1.08, [0.6, -1.2, 0.6]),
        ([6.0, 4.0, 0.0], 2.0, [1.0, -1.0, 0.0]),
        ([4.0, 6.0, 0.0], 0.0, [0.0, 0.0, 0.0]),
    ):
        x = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
        value = losses.FenchelYoungLoss()(x, labels)
        assert value.item() == pytest.approx(expected)
        assert_close(torch.autograd.grad(value, x)[0], torch.tensor(gradient, dtype=torch.float64))


def _enumerated(scores: list[float], k: int | None = None) -> tuple[float, torch.Tensor]:
    """The expectation of the DCG of the toy labels over all orders, and its gradient."""
    x = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    gains, total = [0.0, 3.0, 1.0], torch.zeros((), dtype=torch.float64)
    for order in formulas.plackett_luce(scores):
        chance = torch.stack([(x[i] - x[list(order[p:])].logsumexp(0)) for p, i in enumerate(order)]).sum().exp()
        total = total + chance * sum(gains[item] / log2(p + 2) for p, item in enumerate(order[:k]))
    return total.item(), torch.autograd.grad(total, x)[0]


@pytest.mark.parametrize("k", [None, 2])
def test_the_policy_gradient_is_that_of_the_expectation(k: int | None) -> None:
    value, gradient = _enumerated([2.0, 1.0, 0.0], k)
    if k is None:
        assert value == pytest.approx(2.639888, abs=1e-6)
    noise = -torch.empty(200_000, 3, dtype=torch.float64).exponential_().log()
    x = TOY.clone().requires_grad_()
    loss = losses.plackett_luce_loss(x, TOY_LABELS, noise=noise, k=k)
    best = formulas.ideal([0, 2, 1], k)
    assert (1 - loss).item() * best == pytest.approx(value, abs=5e-3)
    assert_close(-torch.autograd.grad(loss, x)[0] * best, gradient, atol=5e-3, rtol=0)


def test_one_published_sample() -> None:
    """The ranking (second, first, third): PL-Rank-2 and 3 agree on it."""
    x = TOY.clone().requires_grad_()
    losses.plackett_luce_loss(x, TOY_LABELS, noise=torch.tensor([[0.0, 2.0, 0.0]])).backward()
    assert x.grad is not None
    expected = torch.tensor([-2.268742, 0.377636, -0.209469], dtype=torch.float64)
    assert_close(-x.grad * formulas.ideal([0, 2, 1]), expected, atol=1e-6, rtol=0)


def test_sampling_repeats_with_its_generator_and_ignores_padding() -> None:
    loss = losses.PlackettLuceLoss(samples=3)
    padded, mask = torch.cat([TOY, torch.tensor([float("nan")])]), torch.tensor([True, True, True, False])
    labels = torch.tensor([0, 2, 1, 3])
    first, second = (loss(padded, labels, mask, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert first == second
    noise = torch.zeros(2, 4)
    assert_close(
        losses.plackett_luce_loss(padded, labels, mask, noise=noise),
        losses.plackett_luce_loss(TOY, TOY_LABELS, noise=noise[:, :3]),
    )


def test_gumbel_losses_are_means_of_the_loss_of_noisy_scores() -> None:
    inner = losses.SoftmaxLoss(reduction="none")
    loss = losses.GumbelLoss(inner, samples=2, scale=0.5)
    scores = torch.randn(4, 5, requires_grad=True)
    labels = torch.randint(0, 3, (4, 5))
    value = loss(scores, labels, generator=torch.Generator().manual_seed(3))
    assert value.shape == (4,)
    assert torch.equal(value, loss(scores, labels, generator=torch.Generator().manual_seed(3)))
    assert not torch.equal(value, loss(scores, labels))
    assert (torch.autograd.grad(value.sum(), scores)[0] != 0).any()
    means = torch.stack([loss(scores, labels) for _ in range(300)]).mean(dim=0)
    again = torch.stack([loss(scores, labels) for _ in range(300)]).mean(dim=0)
    assert_close(means, again, atol=0.15, rtol=0)


def test_spearman_of_sharp_ranks_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.spearmanr(SCORES, LABELS).statistic
    assert float(losses.SpearmanLoss(temperature=1e-3)(S, Y)) == pytest.approx(1 - expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.list_mle_loss(S, Y, ties="random"), "ties: expected"),  # type: ignore[arg-type]
        (lambda: losses.ListMLELoss(k=0), "k: expected a cut-off"),
        (lambda: losses.PlackettLuceLoss(samples=0), "samples: expected at least 1"),
        (lambda: losses.GumbelLoss(losses.SoftmaxLoss(), samples=0), "samples: expected at least 1"),
        (
            lambda: losses.plackett_luce_loss(S, Y, noise=torch.zeros(5)),
            r"noise: expected shape \['samples', 5\], got \[5\]",
        ),
    ],
)
def test_bad_options(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
