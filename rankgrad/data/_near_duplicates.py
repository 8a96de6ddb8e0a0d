"""Finds texts that say the same in nearly the same words."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence


def distinct_rows(texts: Sequence[str], *, threshold: float) -> list[int]:
    """Rows to keep so that no two kept texts share ``threshold`` of their words; of each group the first stays.

    Alike is the Jaccard similarity of the two sets of words. Two sets this alike must share one of their rarest words
    (prefix filtering), so only texts that do are compared.

    Args:
        texts: the texts, in order of preference.
        threshold: similarity in (0, 1] from which two texts are the same.

    Returns:
        the kept rows, ascending.

    Reference:
        Roberto J. Bayardo, Yiming Ma, Ramakrishnan Srikant. Scaling Up All Pairs Similarity Search. WWW 2007.

    Example:
        >>> distinct_rows(["the red fox", "the red fox!", "a red fox"], threshold=0.8)
        [0, 2]
    """
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    texts_with = Counter(word for bag in words for word in bag)
    kept_with: defaultdict[str, list[int]] = defaultdict(list)
    kept = []
    for row, bag in enumerate(words):
        rarest_first = sorted(bag, key=lambda word: (texts_with[word], word))
        prefix = rarest_first[: len(bag) - math.ceil(threshold * len(bag)) + 1]
        alike = {other for word in prefix for other in kept_with[word]}
        if any(_jaccard(bag, words[other]) >= threshold for other in alike):
            continue
        kept.append(row)
        for word in prefix:
            kept_with[word].append(row)
    return kept


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)
