"""Weights of spans of a text: painted on its characters, and the window that holds the most of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

Span = tuple[int, int]
Weighted = tuple[Span, float]


class Run(NamedTuple):
    """Characters of one weight: from 0 to 1, see :func:`runs_of`."""

    start: int
    end: int
    share: float


def runs_of(evidence: Sequence[Weighted], start: int, end: int) -> list[Run]:
    """Cut ``start`` to ``end`` of a text into runs of equal weight; what speaks against it weighs nothing.

    Spans may overlap, as those of the bytes of one character do: their weights add up. A share of 1 is a weight of 1,
    that of a token which answers one of the query's perfectly, or the heaviest, if that is above: a document that
    answers little is not painted like one that answers all.

    Example:
        >>> runs_of([((0, 2), 0.5), ((3, 4), 1.0)], 0, 5)
        [Run(start=0, end=2, share=0.5), Run(start=2, end=3, share=0.0), Run(start=3, end=4, share=1.0),
         Run(start=4, end=5, share=0.0)]
    """
    together: dict[Span, float] = {}
    for span, weight in evidence:
        together[span] = together.get(span, 0.0) + weight
    heaviest = max([1.0, *together.values()])
    edges = {start, end, *(edge for span in together for edge in span if start < edge < end)}
    cuts = sorted(edges)
    open_at = sorted((span[0], span[1], max(weight, 0.0)) for span, weight in together.items())
    runs: list[Run] = []
    first = 0
    for left, right in pairwise(cuts):
        while first < len(open_at) and open_at[first][1] <= left:
            first += 1
        weight = 0.0
        for begin, stop, each in open_at[first:]:
            if begin > left:
                break
            weight += each if stop > left else 0.0
        runs.append(Run(left, right, min(weight / heaviest, 1.0)))
    return runs


def best_window(text: str, evidence: Sequence[Weighted], width: int) -> Span:
    """The window of whole words, at most ``width`` characters long, with the most weight in it, and that in its middle.

    Of equals the first. A word longer than the window is cut.

    Example:
        >>> text = "one two three four five"
        >>> best_window(text, [((14, 18), 1.0)], 10)
        (14, 23)
    """
    units = [
        (start, min(start + width, match.end()))
        for match in re.finditer(r"\S+", text)
        for start in range(match.start(), match.end(), width)
    ]
    if not units:
        return (0, 0)
    weights = _unit_weights(units, evidence)
    best, held, right = (0.0, 0, 0), 0.0, 0
    for left in range(len(units)):
        right = max(right, left)
        while right < len(units) and units[right][1] - units[left][0] <= width:
            held += weights[right]
            right += 1
        if held > best[0] + 1e-12:
            best = (held, left, right - 1)
        held -= weights[left]
    _, left, right = best
    while left < right and not weights[left]:
        left += 1
    while right > left and not weights[right]:
        right -= 1
    return _widened(units, left, right, width)


def _widened(units: Sequence[Span], left: int, right: int, width: int) -> Span:
    """Units ``left`` to ``right`` with others on both sides, as many as fit."""
    start, end = units[left][0], units[right][1]
    wanted = start - (width - (end - start)) // 2
    while left and units[left - 1][0] >= wanted:
        left -= 1
    while right + 1 < len(units) and units[right + 1][1] - units[left][0] <= width:
        right += 1
    while left and units[right][1] - units[left - 1][0] <= width:
        left -= 1
    return units[left][0], units[right][1]


def harmless(text: str) -> str:
    """The text with what steers a terminal or turns reading direction replaced, character by character.

    Example:
        >>> harmless("a\\x1b[2Jb\\tc")
        'a\ufffd[2Jb\\tc'
    """
    return "".join("\ufffd" if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    if character in "\n\t\r":
        return False
    turns = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return turns or unicodedata.category(character) in ("Cc", "Cs")


def _unit_weights(units: Sequence[Span], evidence: Sequence[Weighted]) -> list[float]:
    """What speaks for each unit: a span belongs to the unit that it begins in."""
    weights = [0.0] * len(units)
    place = 0
    for (start, _), weight in sorted(evidence):
        while place < len(units) - 1 and units[place][1] <= start:
            place += 1
        weights[place] += max(weight, 0.0)
    return weights
