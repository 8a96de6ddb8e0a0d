"""nDCG@10 of a graph beside torch's, in points."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.export.quality import check_judged, compare_quality, mean_ndcg

LISTS = [
    CandidateList("first", ("a", "b", "c"), (0.0, 2.0, 1.0)),
    CandidateList("second", ("d", "e"), (0.0, 1.0), judged=(3.0, 1.0)),
]


def in_order(query: str, documents: object) -> np.ndarray:
    """The first document first."""
    return -np.arange(len(documents))  # type: ignore[arg-type]


def test_mean_ndcg_is_the_formula() -> None:
    first = (2 / log2(3) + 1 / log2(4)) / (2 + 1 / log2(3))
    second = (1 / log2(3)) / (3 + 1 / log2(3))
    assert mean_ndcg(in_order, LISTS) == pytest.approx((first + second) / 2)


def test_a_loss_is_in_hundredths_and_the_tolerance_bounds_it() -> None:
    found = mean_ndcg(in_order, LISTS)
    for lost, fit in ((0.4, True), (0.6, False), (-3.0, True)):
        quality = compare_quality(in_order, LISTS, torchs=found + lost / 100, tolerance=0.5)
        assert (quality.ndcg, quality.fit) == (found, fit)
        assert quality.loss == pytest.approx(lost)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([], "no query of quality given"),
        ([CandidateList(" ", ("a",), (1.0,))], "query of quality 0"),
        ([CandidateList("a", ("b",), (0.0,))], "no document has a grade above 0"),
    ],
)
def test_lists_that_say_nothing(lists: list[CandidateList], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_judged(lists)
