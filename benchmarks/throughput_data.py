"""Texts of mixed length: every length of a pair is as likely as any other."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.texts import cut, documentation
from benchmarks.training_data import count_tokens
from rankgrad.models import CrossEncoder

_QUERY, _SPECIAL, _SHORTEST = 8, 3, 16


def mixed_pairs(model: CrossEncoder, count: int, longest: int, *, quick: bool) -> dict[str, Any]:
    """One query's candidates: texts, and the tokens of all pairs together."""
    texts = _Texts(model, longest, quick=quick)
    query = texts.query()
    documents = [texts.document() for _ in range(count)]
    return {"query": query, "documents": documents, "tokens": count_tokens(model.tokenizer, [query], [documents])}


def training_batches(model: CrossEncoder, *, steps: int, longest: int, quick: bool) -> list[dict[str, Any]]:
    """Batches of queries with four documents each, the relevant one first."""
    texts = _Texts(model, longest, quick=quick)
    made = []
    for _ in range(steps):
        queries = [texts.query() for _ in range(2 if quick else 8)]
        documents = [[texts.document() for _ in range(4)] for _ in queries]
        tokens = count_tokens(model.tokenizer, queries, documents)
        made.append({"queries": queries, "documents": documents, "tokens": tokens})
    return made


class _Texts:
    """Draws texts from the documentation, always in the same order."""

    def __init__(self, model: CrossEncoder, longest: int, *, quick: bool) -> None:
        task = documentation(quick=quick)
        self.tokenizer, self.longest = model.tokenizer.tokenizer, longest
        self.queries, self.documents = task.queries.texts, task.documents.texts
        self.draw = random.Random(0)

    def query(self) -> str:
        return cut(self.tokenizer, self._words(self.queries, _QUERY), _QUERY)

    def document(self) -> str:
        length = self.draw.randint(_SHORTEST, self.longest) - _QUERY - _SPECIAL
        return cut(self.tokenizer, self._words(self.documents, length), length)

    def _words(self, texts: tuple[str, ...], length: int) -> str:
        """Texts one behind the other, from a random one on, of at least so many words."""
        found: list[str] = []
        place = self.draw.randrange(len(texts))
        while len(found) < length:
            found += texts[place % len(texts)].split()
            place += 1
        return " ".join(found[: 2 * length])
