"""References such as [1] in a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_BRACKETS = re.compile(r"\[\s*(\d+(?:\s*[,;]\s*\d+)*)\s*\]")


class Citation(NamedTuple):
    """One document that an answer names.

    Args:
        number: as in the text.
        id: the document's row number; None where no document of that number was shown.
        start, end: where in the text its bracket stands.
    """

    number: int
    id: int | None
    start: int
    end: int


def find_citations(text: str, shown: Sequence[int]) -> tuple[Citation, ...]:
    """What ``[1]``, ``[2][3]`` and ``[1, 3]`` in a text refer to, in the order of the text.

    Args:
        text: an answer.
        shown: row numbers of the documents; ``[1]`` is the first.

    Example:
        >>> found = find_citations("Oslo [2], not Bergen [1, 9].", [40, 70])
        >>> [(each.number, each.id) for each in found]
        [(2, 70), (1, 40), (9, None)]
    """
    found = []
    for match in _BRACKETS.finditer(text):
        for word in re.findall(r"\d+", match[1]):
            number = int(word)
            known = shown[number - 1] if 1 <= number <= len(shown) else None
            found.append(Citation(number, known, match.start(), match.end()))
    return tuple(found)
