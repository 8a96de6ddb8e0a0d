"""Hard ranks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from rankgrad.ops import hard_rank

items = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("-inf")]), st.booleans()), min_size=1, max_size=12
)


@settings(deadline=None)
@given(items, st.booleans())
def test_definition(items: list[tuple[float, bool]], descending: bool) -> None:
    """1 + how many real items are better, or equal and earlier; real -inf scores rank like any other."""
    sign = 1 if descending else -1
    expected = [
        1 + sum(sign * other > sign * own or (other == own and j < i) for j, (other, real) in enumerate(items) if real)
        if own_real
        else 0
        for i, (own, own_real) in enumerate(items)
    ]
    scores, mask = zip(*items, strict=True)
    ranks = hard_rank(torch.tensor(scores), mask=torch.tensor(mask), descending=descending)
    assert_close(ranks, torch.tensor(expected, dtype=torch.float32))


@settings(deadline=None)
@given(items)
def test_real_ranks_are_one_to_n(items: list[tuple[float, bool]]) -> None:
    scores, mask = map(torch.tensor, zip(*items, strict=True))
    ranks = hard_rank(scores, mask=mask)
    assert_close(ranks[mask].sort().values, torch.arange(1, int(mask.sum()) + 1, dtype=torch.float32))


def test_empty_list_and_missing_axis() -> None:
    assert hard_rank(torch.empty(2, 0)).shape == (2, 0)
    with pytest.raises(ValueError, match="expected items on the last axis"):
        hard_rank(torch.tensor(1.0))
