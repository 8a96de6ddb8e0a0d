"""Lines of ASCII text as a grid of words, whose columns are read without a Python object a word."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np

Number = TypeVar("Number", int, float)

# Integers of so many digits, and powers of ten up to 22, are exact: their quotient is rounded once, as by float().
_DIGITS = 15
_POWERS = 10.0 ** np.arange(_DIGITS + 1)
_HASH, _NEWLINE, _ZERO, _POINT, _MINUS = b"#\n0.-"


class WordGrid(NamedTuple):
    """Lines that have the same number of words.

    Shape:
        text: the lines.
        content: uint8 ``[characters]``, of the text.
        starts, ends: int64 ``[columns, lines]``, where each word begins and what follows it.
    """

    text: str
    content: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def word(self, column: int, line: int) -> str:
        """One word."""
        return self.text[self.starts[column, line] : self.ends[column, line]]

    def words(self, column: int) -> list[str]:
        """The words of a column."""
        text = self.text
        places = zip(self.starts[column].tolist(), self.ends[column].tolist(), strict=True)
        return [text[start:end] for start, end in places]

    def runs(self, column: int) -> list[int]:
        """The first line of each run of lines with the same word in a column, and the number of lines."""
        starts = self.starts[column]
        lengths = self.ends[column] - starts
        changes = lengths[1:] != lengths[:-1]
        for place in range(int(lengths.max())):
            letters = self.content.take(starts + place, mode="clip")
            changes |= (letters[1:] != letters[:-1]) & (place < lengths[1:])
        return [0, *(np.flatnonzero(changes) + 1).tolist(), len(starts)]

    def numbers(self, column: int, convert: Callable[[str], Number]) -> list[Number]:
        """A column as ``convert``, ``int`` or ``float``, reads it; plain decimals by arithmetic on all at once.

        Raises:
            ValueError: for a word that ``convert`` refuses.
        """
        values, plain = self._decimals(column, fractions=convert is float)
        found: list[Number] = (values if convert is float else values.astype(np.int64)).tolist()
        for line in np.flatnonzero(~plain).tolist():
            found[line] = convert(self.word(column, line))
        return found

    def _decimals(self, column: int, *, fractions: bool) -> tuple[np.ndarray, np.ndarray]:
        """Values, and for which words they hold: digits with at most one point and a minus."""
        starts = self.starts[column]
        lengths = self.ends[column] - starts
        value, digits, places, points = np.zeros((4, len(starts)), dtype=np.int64)
        negative = self.content.take(starts) == _MINUS
        # Longer words are no plain decimals, however they go on.
        for place in range(int(min(lengths.max(), _DIGITS + 2))):
            inside = place < lengths
            letters = self.content.take(starts + place, mode="clip")
            amounts = letters - np.uint8(_ZERO)
            counted = (amounts < 10) & inside
            value = np.where(counted, value * 10 + amounts, value)
            digits += counted
            places += counted & (points > 0)
            points += (letters == _POINT) & inside
        plain = (
            (digits > 0) & (digits <= _DIGITS) & (points <= int(fractions)) & (digits + points + negative == lengths)
        )
        sizes = value / _POWERS.take(places, mode="clip")
        return np.where(negative, -sizes, sizes), plain


def word_grid(text: str, columns: int) -> WordGrid | None:
    """The grid of a text; None where a line has another number of words or starts with ``#``, or is not ASCII."""
    if not text.isascii():
        return None
    content = np.frombuffer(f"\n{text}\n".encode("ascii"), dtype=np.uint8)
    # What str.split takes for white space: 9 to 13 and 28 to 32; smaller differences wrap around.
    white = ((content - np.uint8(9)) < 5) | ((content - np.uint8(28)) < 5)
    edges = np.flatnonzero(white[1:] != white[:-1])
    starts, ends = edges[0::2], edges[1::2]
    lines = np.flatnonzero(content == _NEWLINE)[: -1 - text.endswith("\n")]
    # The first word of each line stands right behind its start, so that no line has more words or fewer.
    if not len(lines) or len(starts) != len(lines) * columns or not np.array_equal(starts[::columns], lines):
        return None
    content = content[1:-1]
    if (content[lines] == _HASH).any():
        return None
    return WordGrid(text, content, starts.reshape(-1, columns).T, ends.reshape(-1, columns).T)
