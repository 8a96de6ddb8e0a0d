"""What every loss of the contract's table does with weights and at the edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_cases import CASES
from torch import Tensor
from torch.testing import assert_close

from rankgrad import losses
from rankgrad._checks import InputError

PLAIN = [case for case in CASES if not case.name.endswith("-weights")]
# A metric is no sum over items, nor is a correlation or a projection.
OF_LISTS = {
    losses.metric_loss,
    losses.approx_ndcg_loss,
    losses.approx_mrr_loss,
    losses.pearson_distill_loss,
    losses.spearman_loss,
    losses.fenchel_young_loss,
}
OF_GAINS = {losses.neural_ndcg_loss, losses.pi_rank_loss, losses.smooth_i_loss, losses.plackett_luce_loss}
every_loss = pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
items_too = pytest.mark.parametrize(
    "case", [case for case in PLAIN if case.covers not in OF_LISTS], ids=lambda case: case.name
)


@every_loss
def test_list_weights_multiply(case: Any) -> None:
    x, labels, mask = case.inputs()
    weights = torch.rand(len(x))
    values = case.call(x, labels, mask)
    assert_close(case.call(x, labels, mask, weights=weights), weights * values)
    assert_close(case.call(x, labels, mask, weights=weights, reduction="mean"), (weights * values).sum() / len(x))


@items_too
def test_item_weights_of_one_change_nothing_and_of_two_double(case: Any) -> None:
    x, labels, mask = case.inputs()
    values = case.call(x, labels, mask)
    assert_close(case.call(x, labels, mask, weights=torch.ones_like(x)), values)
    if case.covers in OF_GAINS:
        # Gains over their ideal: a common weight cancels.
        assert_close(case.call(x, labels, mask, weights=torch.full_like(x, 2.0)), values)
    elif case.covers is losses.poly1_softmax_loss:
        softmax = losses.softmax_loss(x, labels, mask, reduction="none")
        assert_close(case.call(x, labels, mask, weights=torch.full_like(x, 2.0)), values + softmax)
    else:
        factor = 4 if case.covers is losses.margin_mse_loss else 2
        assert_close(case.call(x, labels, mask, weights=torch.full_like(x, 2.0)), factor * values)


@every_loss
def test_weights_are_checked(case: Any) -> None:
    x, labels, mask = case.inputs()
    with pytest.raises(InputError, match=r"weights: expected shape \[6, 7\] \(one an item\) or \[6\] \(one a list\)"):
        case.call(x, labels, mask, weights=torch.ones(7))
    with pytest.raises(InputError, match=r"weights: expected numbers of at least 0, got -1\.0"):
        case.call(x, labels, mask, weights=-torch.ones(6))
    if case.covers in OF_LISTS:
        with pytest.raises(InputError, match=r"weights: expected shape \[6\], one a list"):
            case.call(x, labels, mask, weights=torch.ones(6, 7))


def test_masked_weights_may_be_anything() -> None:
    x, labels, mask = CASES[0].inputs()
    weights = torch.full_like(x, -float("nan")).where(~mask, 1.0)
    assert_close(losses.ranknet_loss(x, labels, mask, weights=weights), losses.ranknet_loss(x, labels, mask))


def _finite(case: Any, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = scores.clone().requires_grad_()
    value = case.call(scores, labels, torch.ones_like(scores, dtype=torch.bool) if mask is None else mask)
    (gradient,) = torch.autograd.grad(value.sum(), scores)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    return value, gradient


@every_loss
def test_the_edges_are_finite(case: Any) -> None:
    labels = torch.tensor([[2, 1, 0, 0], [0, 0, 1, 3]])
    for scale in (1e4, 1e30):
        _finite(case, torch.tensor([[1.0, 0.5, -1.0, 0.0], [1.0, -1.0, -1.0, 1.0]]) * scale, labels)
    _finite(case, torch.zeros(2, 4), labels)
    _finite(case, torch.randn(2, 4), torch.zeros(2, 4))
    _finite(case, torch.randn(2, 1), torch.ones(2, 1))
    assert case.call(torch.zeros(2, 0), torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool)).tolist() == [0, 0]


@every_loss
def test_what_is_not_a_number_reaches_no_other_lists_gradient(case: Any) -> None:
    x, labels, mask = case.inputs()
    spoilt = x.clone()
    spoilt[0, 2] = float("nan")
    gradients = []
    for scores in (x, spoilt):
        scores.requires_grad_()
        gradients.append(torch.autograd.grad(case.call(scores, labels, mask).sum(), scores)[0])
    assert_close(gradients[1][1:], gradients[0][1:])


@pytest.mark.parametrize(
    "loss", [losses.RankNetLoss(), losses.ListMLELoss(), losses.LambdaLoss(), losses.FenchelYoungLoss()]
)
def test_training_orders_a_list(loss: Any) -> None:
    scores = torch.tensor([0.0, 0.1, 0.2, 0.3], requires_grad=True)
    optimiser = torch.optim.SGD([scores], lr=0.2)
    for _ in range(60):
        optimiser.zero_grad()
        loss(scores, torch.tensor([3, 2, 1, 0])).backward()
        optimiser.step()
    assert scores.argsort(descending=True).tolist() == [0, 1, 2, 3]
