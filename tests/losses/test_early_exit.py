"""The loss of exits is the mean of theirs plus the divergence from the last, which it leaves alone."""

from __future__ import annotations

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.losses import EarlyExitLoss, SoftmaxLoss


def test_the_formula_and_who_gets_a_gradient() -> None:
    scores = torch.randn(3, 2, 4, requires_grad=True)
    labels, mask = torch.eye(4)[:2], torch.tensor([[True] * 4, [True, True, True, False]])
    found = EarlyExitLoss(SoftmaxLoss(), distillation=0.5, temperature=2.0)(scores, labels, mask)
    logs = (scores.masked_fill(~mask, -torch.inf) / 2).log_softmax(-1).masked_fill(~mask, 0.0)
    chances = logs[-1].exp() * mask
    apart = (chances * (logs[-1] - logs[:2])).sum(-1).mean()
    plain = torch.stack([SoftmaxLoss()(each, labels, mask) for each in scores]).mean()
    torch.testing.assert_close(found, plain + 0.5 * apart)
    gradient = torch.autograd.grad(found, scores, retain_graph=True)[0]
    torch.testing.assert_close(gradient[-1], torch.autograd.grad(plain, scores)[0][-1])


def test_scores_without_exits_go_through() -> None:
    scores, labels = torch.randn(2, 4), torch.eye(4)[:2]
    assert torch.equal(EarlyExitLoss(SoftmaxLoss())(scores, labels), SoftmaxLoss()(scores, labels))
    with pytest.raises(InputError, match="temperature"):
        EarlyExitLoss(SoftmaxLoss(), temperature=0.0)
