"""Hard ranks and ideal orders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import Tensor
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.ops import hard_rank
from rankgrad.ops.ranking import ideal_order

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


@settings(deadline=None)
@given(items, st.booleans())
def test_average_ties(items: list[tuple[float, bool]], descending: bool) -> None:
    """As scipy ranks the real items alone."""
    scores, mask = map(torch.tensor, zip(*items, strict=True))
    ranks = hard_rank(scores, mask=mask, descending=descending, ties="average")
    expected = torch.zeros(len(items))
    expected[mask] = torch.from_numpy(rankdata((-scores if descending else scores)[mask].numpy())).float()
    assert_close(ranks, expected)


def test_average_ties_of_a_long_list() -> None:
    """Ranks that float32 holds with their halves, of pairs."""
    n = 1 << 20
    ranks = hard_rank(torch.arange(n).div(2, rounding_mode="floor").float(), ties="average", descending=False)
    assert torch.equal(ranks.double(), torch.arange(n, dtype=torch.float64).div(2, rounding_mode="floor") * 2 + 1.5)


@settings(deadline=None)
@given(items, st.booleans(), st.integers(0, 99))
def test_random_ties_are_some_order_of_the_lowest_index_ones(
    items: list[tuple[float, bool]], descending: bool, seed: int
) -> None:
    scores, mask = map(torch.tensor, zip(*items, strict=True))
    options = {"mask": mask, "descending": descending}

    def drawn() -> Tensor:
        return hard_rank(scores, ties="random", generator=torch.Generator().manual_seed(seed), **options)

    ranks, fixed = drawn(), hard_rank(scores, **options)
    assert torch.equal(ranks, drawn())
    assert torch.equal(ranks[~mask], fixed[~mask])
    for value in scores[mask].unique():
        same = (scores == value) & mask
        assert ranks[same].sort().values.tolist() == fixed[same].sort().values.tolist()


def test_random_ties_take_each_order_equally_often() -> None:
    ranks = hard_rank(torch.ones(6000, 3), ties="random", generator=torch.Generator().manual_seed(0))
    orders, counts = ranks.unique(dim=0, return_counts=True)
    assert len(orders) == 6
    # 5 standard errors of a share of 1/6.
    assert (counts - 1000).abs().max() < 5 * (6000 * 5 / 36) ** 0.5
    torch.manual_seed(1)
    unsaid = hard_rank(torch.ones(50), ties="random")
    torch.manual_seed(1)
    assert torch.equal(unsaid, hard_rank(torch.ones(50), ties="random"))


@pytest.mark.parametrize("ties", ["average", "random"])
def test_ties_with_nan_without_items_compiled(ties: Any) -> None:
    nan = float("nan")
    x = torch.tensor([[1.0, nan, 1.0], [3.0, nan, 1.0], [nan, nan, nan]])
    mask = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])
    expected = torch.tensor([[nan, nan, nan], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    assert_close(hard_rank(x, mask=mask, ties=ties), expected, equal_nan=True)
    torch.compiler.reset()
    compiled = torch.compile(lambda x, mask: hard_rank(x, mask=mask, ties=ties), fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, mask), expected, equal_nan=True)
    for shape in ((2, 0), (0, 3)):
        assert hard_rank(torch.empty(shape), ties=ties).shape == shape
    found = hard_rank(torch.empty(2, 3, device="meta", dtype=torch.float16), ties=ties)
    assert (found.shape, found.dtype) == ((2, 3), torch.float32)


def test_tie_rules_are_listed() -> None:
    with pytest.raises(InputError, match=r'ties: expected "lowest_index", "average" or "random", got \'first\''):
        hard_rank(torch.ones(3), ties="first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r'generator: expected None with ties="average"'):
        hard_rank(torch.ones(3), ties="average", generator=torch.Generator())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 3), st.booleans()), min_size=1, max_size=12))
def test_ideal_order(items: list[tuple[int, bool]]) -> None:
    expected = sorted(range(len(items)), key=lambda i: (not items[i][1], -items[i][0] if items[i][1] else 0))
    labels, mask = map(torch.tensor, zip(*items, strict=True))
    for dtype in (torch.int64, torch.float16, torch.float64):
        assert ideal_order(labels.to(dtype), mask=mask).tolist() == expected


def test_ideal_order_of_relevant_and_not() -> None:
    labels = torch.tensor([[False, True, False, True], [False, False, True, True]])
    assert ideal_order(labels).tolist() == [[1, 3, 0, 2], [2, 3, 0, 1]]
    assert ideal_order(torch.empty(2, 0)).shape == (2, 0)
    garbage = torch.tensor([float("nan"), 1.0, 2.0])
    assert ideal_order(garbage, mask=torch.tensor([False, True, True])).tolist() == [2, 1, 0]
    assert ideal_order(labels.to("meta")).dtype == torch.int64
