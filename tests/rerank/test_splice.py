"""A new head above the old tail."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankgrad.rerank._splice import plus_incoming, splice
from rankgrad.types import Ranking


@st.composite
def cases(draw: st.DrawFn) -> tuple[Ranking, torch.Tensor]:
    width = draw(st.integers(1, 12))
    head = draw(st.integers(1, width))
    number = st.floats(-(2.0**40), 2.0**40, width=32) | st.sampled_from([0.0, 1.0, -torch.inf])
    scores = torch.tensor([draw(st.lists(number, min_size=head, max_size=head))])
    mask = torch.tensor([draw(st.lists(st.booleans(), min_size=width, max_size=width))])
    ids = torch.tensor([draw(st.permutations(range(width)))]).masked_fill(~mask, -1)
    return Ranking(ids, torch.arange(width, 0, -1.0)[None], mask), scores


@settings(deadline=None)
@given(cases())
def test_the_laws_of_splicing(case: tuple[Ranking, torch.Tensor]) -> None:
    incoming, scores = case
    head = scores.shape[1]
    outgoing = splice(incoming, scores)
    real = outgoing.mask[0]
    real_count = int(real.sum())
    assert real.tolist() == [True] * real_count + [False] * (len(real) - real_count)
    found = list(zip(outgoing.ids[0][real].tolist(), outgoing.scores[0][real].tolist(), strict=True))
    new = dict(zip(incoming.ids[0, :head].tolist(), scores[0].tolist(), strict=True))
    kept = [row for row, ok in zip(incoming.ids[0].tolist(), incoming.mask[0].tolist(), strict=True) if ok]
    assert sorted(row for row, _ in found) == sorted(kept)
    by_score = sorted(kept[: int(incoming.mask[0, :head].sum())], key=lambda row: -new[row])
    finite = [row for row in by_score if new[row] != -torch.inf]
    tail = kept[int(incoming.mask[0, :head].sum()) :]
    assert [row for row, _ in found] == finite + tail + by_score[len(finite) :]
    assert all(score == new[row] for row, score in found if row in new)
    below = [score for row, score in found if row in tail]
    above = [new[row] for row in finite]
    assert all(low < high for high, low in pairwise([*above[-1:], *below]))
    assert (outgoing.scores[~outgoing.mask] == -torch.inf).all()
    assert (outgoing.ids[~outgoing.mask] == -1).all()


@pytest.mark.parametrize("head", [1, 2, 4])
def test_gradients_reach_the_scores_of_real_documents_only(head: int) -> None:
    mask = torch.tensor([[True, False, True, True]])
    incoming = Ranking(torch.tensor([[3, -1, 0, 1]]), torch.tensor([[4.0, -torch.inf, 2.0, 1.0]]), mask)
    scores = torch.tensor([[0.5, 9.0, 0.7, 0.1]])[:, :head].clone().requires_grad_()
    outgoing = splice(incoming, scores)
    weights = {3: 2.0, 0: 3.0, 1: 5.0}
    loss = sum(
        weights[row] * outgoing.scores[0, place] for place, row in enumerate(outgoing.ids[0].tolist()) if row >= 0
    )
    loss.backward()  # type: ignore[union-attr]
    torch.testing.assert_close(scores.grad, torch.tensor([[2.0, 0.0, 3.0, 5.0]])[:, :head])


@pytest.mark.parametrize("weight", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("learnt", [False, True])
def test_the_incoming_score_of_weight_0_counts_for_nothing(weight: float, learnt: bool) -> None:
    """``s + w x``, where 0 times an infinite x is 0; the derivative after w is the sum of the finite x."""
    incoming = torch.tensor([3.0, -torch.inf, 1.0])
    factor = torch.tensor(weight, requires_grad=True) if learnt else weight
    scores = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    found = plus_incoming(scores, incoming, factor)
    expected = [0.1 + 3 * weight, 0.2 if weight == 0 else -weight * torch.inf, 0.3 + weight]
    torch.testing.assert_close(found.detach(), torch.tensor(expected))
    found.sum().backward()
    torch.testing.assert_close(scores.grad, torch.ones(3))
    if isinstance(factor, torch.Tensor):
        torch.testing.assert_close(factor.grad, torch.tensor(4.0))


def test_a_learnt_weight_starts_from_0() -> None:
    incoming = Ranking(
        torch.tensor([[3, 0, 1]]), torch.tensor([[4.0, -torch.inf, 1.0]]), torch.tensor([[True, True, True]])
    )
    weight = torch.zeros((), requires_grad=True)
    outgoing = splice(incoming, torch.tensor([[0.5, 0.7, 0.6]]), first_stage_weight=weight)
    assert outgoing.ids.tolist() == [[0, 1, 3]]
    assert outgoing.scores.tolist() == [pytest.approx([0.7, 0.6, 0.5])]
    outgoing.scores[0].softmax(0)[2].backward()
    assert weight.grad is not None
    assert weight.grad > 0
