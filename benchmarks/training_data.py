"""The batches that both trainers read: texts, and how many tokens they hold."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.texts import cut, documentation
from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer

_QUERY = 24
_SPECIAL = 4


@dataclass(frozen=True)
class TextBatch:
    """``documents[i]`` are those of ``queries[i]``, the relevant one first; no document occurs twice.

    ``tokens`` counts what the encoder attends to: no padding, no unattended query expansion.
    """

    queries: list[str]
    documents: list[list[str]]
    tokens: int


def training_batches(
    tokenizer: PairTokenizer | LateInteractionTokenizer,
    *,
    steps: int,
    batch: int,
    negatives: int,
    length: int,
    quick: bool = False,
) -> list[TextBatch]:
    """Batches of the train split, negatives drawn at random.

    Texts are cut before anyone sees them, so that no library's own way of cutting makes a difference.

    Args:
        tokenizer: counts the tokens.
        steps: number of batches.
        batch: queries a batch.
        negatives: irrelevant documents a query.
        length: tokens of a query and a document together, special ones included.
        quick: take a few modules only.
    """
    task = documentation(quick=quick)
    query_length = min(_QUERY, length // 3)
    room = length - query_length - _SPECIAL
    draw = random.Random(0)
    ids = draw.sample(task.queries.ids, min(steps * batch, len(task.queries)))
    made = []
    for step in range(steps):
        chosen = [ids[(step * batch + place) % len(ids)] for place in range(batch)]
        relevant = [next(iter(task.qrels[query])) for query in chosen]
        others = [name for name in draw.sample(task.documents.ids, batch * (negatives + 1)) if name not in relevant]
        documents = [[name, *(others.pop() for _ in range(negatives))] for name in relevant]
        queries = [cut(tokenizer.tokenizer, task.queries.text(query), query_length) for query in chosen]
        texts = [[cut(tokenizer.tokenizer, task.documents.text(name), room) for name in row] for row in documents]
        made.append(TextBatch(queries, texts, count_tokens(tokenizer, queries, texts)))
    return made


def count_tokens(
    tokenizer: PairTokenizer | LateInteractionTokenizer, queries: list[str], documents: list[list[str]]
) -> int:
    """Tokens that an encoder attends to in one pass over the batch: pairs, or queries and documents apart."""
    flat = [document for row in documents for document in row]
    if isinstance(tokenizer, PairTokenizer):
        repeated = [query for query, row in zip(queries, documents, strict=True) for _ in row]
        return int(tokenizer(repeated, flat).lengths.sum())
    return int(tokenizer.queries(queries).lengths.sum() + tokenizer.documents(flat).lengths.sum())
