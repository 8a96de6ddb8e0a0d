"""A generated collection whose words are as frequent, and whose texts as long, as those of a collection of passages.

Word r of the vocabulary is drawn with a chance of ``1 / (r + 30)``: Zipf's law without the thirty most frequent words,
which an analyzer leaves out. Lengths are log-normal, 108 words on average. A query is five different words of one
document.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

WORDS, WORDS_A_QUERY = 200_000, 5
_LEFT_OUT = 30
_LENGTH, _SPREAD, _SHORTEST, _LONGEST = 108, 0.6, 5, 1000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Texts(NamedTuple):
    """Documents and queries, words between blanks."""

    documents: list[str]
    queries: list[str]


def drawn(documents: int, queries: int, *, words: int = WORDS, seed: int = 0) -> Texts:
    """The same texts for the same numbers.

    Example:
        >>> texts = drawn(3, 2, words=50)
        >>> len(texts.documents), [len(set(query.split())) for query in texts.queries]
        (3, [5, 5])
    """
    generator = np.random.default_rng(seed)
    chances = 1.0 / np.arange(_LEFT_OUT, _LEFT_OUT + words)
    lengths = generator.lognormal(np.log(_LENGTH) - _SPREAD**2 / 2, _SPREAD, documents)
    lengths = lengths.astype(np.int64).clip(_SHORTEST, _LONGEST)
    ends = np.cumsum(lengths)
    ids = np.searchsorted(np.cumsum(chances) / chances.sum(), generator.random(ends[-1]))
    names = np.array([_name(word) for word in range(words)], dtype=object)
    starts = ends - lengths
    texts = [" ".join(names[ids[start:end]]) for start, end in zip(starts, ends, strict=True)]
    asked = []
    while len(asked) < queries:
        row = generator.integers(documents)
        distinct = np.unique(ids[starts[row] : ends[row]])
        if len(distinct) >= WORDS_A_QUERY:
            asked.append(" ".join(names[generator.choice(distinct, WORDS_A_QUERY, replace=False)]))
    return Texts(texts, asked)


def _name(word: int) -> str:
    """Letters that stand for a number; at least two, which every tokenizer takes for a word."""
    letters = "q"
    while word or len(letters) < 2:
        word, letter = divmod(word, 26)
        letters += _LETTERS[letter]
    return letters
