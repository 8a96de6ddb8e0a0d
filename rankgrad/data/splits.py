"""Splits that are the same at each run, because a hash decides and no order or random state does."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from rankgrad._checks import InputError
from rankgrad.data.records import Collection, Qrels


def hashed_share(name: str) -> float:
    """A number in [0, 1) that depends on nothing but the name, evenly spread over names.

    Example:
        >>> round(hashed_share("os.path"), 3)
        0.936
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def hold_out(collection: Collection, *, share: float, split: str = "train", into: str = "validation") -> Collection:
    """Move a share of one split's queries into a new split.

    Queries that share a relevant document move together, so that no document is relevant on both sides; the smallest id
    of such a group is hashed.

    Args:
        collection: has ``split`` and not ``into``.
        share: of the queries, in (0, 1); met on average.
        split: where they are taken.
        into: the new split.

    Raises:
        InputError: for another share, when there is no ``split``, or when ``into`` is there already.

    Example:
        >>> from rankgrad.data import Texts
        >>> texts = Texts(tuple("abcd"), tuple("abcd"))
        >>> whole = Collection("c", texts, texts, {"train": {name: {name: 1} for name in "abcd"}})
        >>> {name: list(qrels) for name, qrels in hold_out(whole, share=0.2).qrels.items()}
        {'train': ['a', 'b'], 'validation': ['c', 'd']}
    """
    if not 0 < share < 1:
        raise InputError(f"share={share}: give a share of the queries, above 0 and below 1")
    if split not in collection.qrels or into in collection.qrels:
        there = ", ".join(sorted(collection.qrels))
        raise InputError(f"{collection.name} has the splits {there}: cannot take {into!r} out of {split!r}")
    qrels = collection.qrels[split]
    group = _groups(qrels)
    moved = {query for query in qrels if hashed_share(group[query]) < share}
    parts: dict[str, Qrels] = {
        split: {query: judged for query, judged in qrels.items() if query not in moved},
        into: {query: judged for query, judged in qrels.items() if query in moved},
    }
    return replace(collection, qrels={**collection.qrels, **parts})


def _groups(qrels: Qrels) -> dict[str, str]:
    """For each query the smallest id among those it is linked to by relevant documents."""
    parent = {query: query for query in qrels}

    def root(query: str) -> str:
        while parent[query] != query:
            parent[query] = parent[parent[query]]
            query = parent[query]
        return query

    first: dict[str, str] = {}
    for query, judged in qrels.items():
        for document in (name for name, grade in judged.items() if grade > 0):
            one, other = sorted((root(query), root(first.setdefault(document, query))))
            parent[other] = one
    return {query: root(query) for query in qrels}
