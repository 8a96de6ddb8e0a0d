"""Columns of words and numbers are what splitting each line gives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankgrad.data._word_grid import word_grid

words = st.text(st.sampled_from("ab0\x01~"), min_size=1, max_size=3)
spaces = st.sampled_from([" ", "\t", "  ", "\x1c"])
numbers = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.floats(-1e6, 1e6).map("{:.6f}".format),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["-0.0", "+1.5", ".5", "5.", "1_0", "1e-3", "-inf", "007", "123456789012345678"]),
)
lines = st.lists(st.tuples(words, spaces, numbers, spaces, words), min_size=1, max_size=6)


@settings(deadline=None, max_examples=100)
@given(lines, st.booleans())
def test_columns_are_those_of_split_lines(rows: list[tuple[str, ...]], ended: bool) -> None:
    text = "\n".join("".join(row) for row in rows) + "\n" * ended
    grid = word_grid(text, 3)
    assert grid is not None
    assert grid.words(0) == [row[0] for row in rows]
    assert grid.words(2) == [row[4] for row in rows]
    assert list(map(repr, grid.numbers(1, float))) == [repr(float(row[2])) for row in rows]
    starts = grid.runs(0)
    assert (starts[0], starts[-1]) == (0, len(rows))
    for start, end in pairwise(starts):
        assert len({row[0] for row in rows[start:end]}) == 1
    assert all(rows[start - 1][0] != rows[start][0] for start in starts[1:-1])


def test_whole_numbers_and_what_is_none() -> None:
    grid = word_grid("a 3\nb -12\nc +4\nd 12345678901234567890", 2)
    assert grid is not None
    assert grid.numbers(1, int) == [3, -12, 4, 12345678901234567890]
    for wrong in ("1.0", "1e3", "x", "-", "1-2"):
        grid = word_grid(f"a 3\nb {wrong}\n", 2)
        assert grid is not None
        with pytest.raises(ValueError, match="invalid literal"):
            grid.numbers(1, int)


@pytest.mark.parametrize("text", ["", "\n", "a b\n\nc d\n", "a b\n# d\n", "a\nb c d\n", " a b\n", "a é\n", "a b c\n"])
def test_other_texts_have_no_grid(text: str) -> None:
    assert word_grid(text, 2) is None
