"""From text to terms: lower case, words, stop words, stems."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from rankgrad._checks import InputError, require

ENGLISH_STOP_WORDS: tuple[str, ...] = (
    *("a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of"),
    *(
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ),
)
"""The 33 words that Lucene's English analyzer leaves out."""


class Terms(NamedTuple):
    """The terms of several texts end to end.

    Shape:
        vocabulary: each term once, in order of first appearance.
        ids: int32 ``[total]``, positions in the vocabulary.
        lengths: int64 ``[texts]``, terms a text.
    """

    vocabulary: list[str]
    ids: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Analyzer:
    r"""Turn text into the terms that a sparse index counts.

    The order is Lucene's: lower case, words by ``pattern``, stop words out, stems.

    Args:
        lowercase: fold case before words are looked for.
        stop_words: words left out, as they read after lower-casing.
        stemmer: a Snowball algorithm of PyStemmer (``"english"``, ``"porter"``, ``"german"``, ...), or None.
        pattern: regular expression of one word.

    Raises:
        InputError: for a pattern that does not compile or has groups, or an unknown stemmer.

    Reference:
        M. F. Porter, "An algorithm for suffix stripping", Program, 1980.

    Example:
        >>> Analyzer()("The runners were running")
        ['runner', 'were', 'run']
        >>> Analyzer(stop_words=(), stemmer=None)("The runners")
        ['the', 'runners']
    """

    lowercase: bool = True
    stop_words: tuple[str, ...] = ENGLISH_STOP_WORDS
    stemmer: str | None = "english"
    pattern: str = r"\w+"

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop_words", tuple(self.stop_words))
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise InputError(f"pattern={self.pattern!r} is no regular expression: {error}") from error
        if groups:
            raise InputError(f"pattern={self.pattern!r} has groups: write (?:...) instead of (...)")
        if self.stemmer is not None:
            known = require("Stemmer", "retrieve").algorithms()
            if self.stemmer not in known:
                raise InputError(f"stemmer={self.stemmer!r} is unknown: choose None or one of {', '.join(known)}")

    def __call__(self, text: str) -> list[str]:
        """The terms of ``text``, in order, repeats included."""
        stop_words = frozenset(self.stop_words)
        words = re.compile(self.pattern).findall(text.lower() if self.lowercase else text)
        return self._stems([word for word in words if word not in stop_words])

    def collect(self, texts: Sequence[str]) -> Terms:
        """The terms of many texts; each distinct word is filtered and stemmed once."""
        find = re.compile(self.pattern).findall
        words: defaultdict[str, int] = defaultdict()
        words.default_factory = words.__len__
        found = array("i")
        ends = np.zeros(len(texts) + 1, dtype=np.int64)
        for position, text in enumerate(texts):
            found.extend(map(words.__getitem__, find(text.lower() if self.lowercase else text)))
            ends[position + 1] = len(found)
        vocabulary, term_of_word = self._terms_of(list(words))
        ids = term_of_word[np.frombuffer(found, dtype=np.intc)] if len(found) else np.zeros(0, dtype=np.int32)
        kept = ids >= 0
        lengths = np.diff(np.concatenate([[0], np.cumsum(kept)])[ends])
        return Terms(vocabulary, ids[kept], lengths)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"stop_words": list(self.stop_words)}

    def _terms_of(self, words: list[str]) -> tuple[list[str], np.ndarray]:
        """The vocabulary behind ``words``, and for each word its position in it, -1 for a stop word."""
        stop_words = frozenset(self.stop_words)
        stems = self._stems(words)
        vocabulary: dict[str, int] = {}
        positions = np.full(len(words), -1, dtype=np.int32)
        for row, (word, stem) in enumerate(zip(words, stems, strict=True)):
            if word not in stop_words:
                positions[row] = vocabulary.setdefault(stem, len(vocabulary))
        return list(vocabulary), positions

    def _stems(self, words: list[str]) -> list[str]:
        return words if self.stemmer is None else require("Stemmer", "retrieve").Stemmer(self.stemmer).stemWords(words)
