"""A new head above the old tail."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankgrad.rerank._splice import splice
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
