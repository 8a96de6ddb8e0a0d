"""What a collection is made of: texts with ids, judgements, runs, candidate lists."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.types import Ranking

Qrels: TypeAlias = dict[str, dict[str, int]]
"""Judgements: query id to document id to grade."""

Run: TypeAlias = dict[str, dict[str, float]]
"""Results: query id to document id to score, higher is better."""


@dataclass(frozen=True)
class Texts:
    """Texts with unique ids; the row of a text is its position.

    Args:
        ids: one id a text.
        texts: the texts, in the order of the ids.

    Raises:
        InputError: when the two differ in length or an id occurs twice.

    Example:
        >>> texts = Texts(("a", "b"), ("first", "second"))
        >>> len(texts), texts.row("b"), texts.select(["b"]).texts
        (2, 1, ('second',))
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.texts):
            raise InputError(f"ids and texts pair up: got {len(self.ids)} ids and {len(self.texts)} texts")
        if len(self._rows) != len(self.ids):
            repeated = next(name for row, name in enumerate(self.ids) if self._rows[name] != row)
            raise InputError(f"id {repeated!r} occurs more than once: give every text its own id")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """The position of the text with this id.

        Raises:
            InputError: for an id that is not here.
        """
        try:
            return self._rows[name]
        except KeyError:
            raise InputError(f"unknown id {name!r}: none of the {len(self)} texts has it") from None

    def text(self, name: str) -> str:
        """The text with this id."""
        return self.texts[self.row(name)]

    def select(self, ids: Iterable[str]) -> Texts:
        """The texts with these ids, in this order."""
        chosen = tuple(ids)
        return Texts(chosen, tuple(self.texts[self.row(name)] for name in chosen))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}


@dataclass(frozen=True)
class CandidateList:
    """One query with the documents to put in order: what a ranker trains on.

    Args:
        query: the query's text.
        documents: the candidates' texts.
        labels: the grade of each document, higher is better.
        teacher_scores: another ranker's score of each document, or None.
        judged: the grades of all judged documents of the query, or None where the list itself holds them all.

    Raises:
        InputError: for a list without documents, or fields that differ in length.

    Example:
        >>> CandidateList("capital of France", ("Paris", "Rome"), (1.0, 0.0)).labels
        (1.0, 0.0)
    """

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    teacher_scores: tuple[float, ...] | None = None
    judged: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.documents:
            raise InputError(f"the list of query {self.query!r} has no documents: give it at least one")
        for name, values in (("labels", self.labels), ("teacher_scores", self.teacher_scores)):
            if values is not None and len(values) != len(self.documents):
                raise InputError(
                    f"{name} of query {self.query!r}: got {len(values)} for {len(self.documents)} documents: one each"
                )


@dataclass(frozen=True)
class Task:
    """Queries to answer from a set of documents, and the judgements that say how well.

    Args:
        name: shown in tables.
        documents: everything that can be found; a ``Ranking``'s ids are rows of it.
        queries: the queries judged here; row i of a ``Ranking`` answers query i.
        qrels: the judgements of those queries.

    Example:
        >>> documents = Texts(("d1", "d2", "d3"), ("Paris", "Rome", "Oslo"))
        >>> task = Task("capitals", documents, Texts(("q",), ("capital of Norway",)), {"q": {"d3": 2, "d1": 1}})
        >>> ids = torch.tensor([[1, 2]])
        >>> ranking = Ranking(ids, torch.tensor([[0.9, 0.4]]), torch.ones(1, 2, dtype=torch.bool))
        >>> task.labels(ranking), task.judged()
        (tensor([[0., 2.]]), tensor([[2., 1.]]))
        >>> list(task.run(ranking)["q"])
        ['d2', 'd3']
    """

    name: str
    documents: Texts = field(repr=False)
    queries: Texts = field(repr=False)
    qrels: Qrels = field(repr=False)

    def labels(self, ranking: Ranking) -> Tensor:
        """The grade of each ranked document; 0 for the unjudged, for padding and (as in trec_eval) for grades below 0.

        Shape:
            float32 ``[queries, k]``.

        Raises:
            InputError: when the ranking has another number of queries than the task.
        """
        rows = self._checked(ranking)
        names = self.documents.ids
        labels = np.zeros(tuple(ranking.ids.shape), dtype=np.float32)
        for position, (query, found) in enumerate(zip(self.queries.ids, rows, strict=True)):
            judged = self.qrels[query]
            labels[position] = [max(judged.get(names[row], 0), 0) if row >= 0 else 0 for row in found]
        return torch.from_numpy(labels).to(ranking.scores.device)

    def judged(self) -> Tensor:
        """The grades of all judged documents of each query, highest first, padded with 0.

        Shape:
            float32 ``[queries, most judged documents of a query]``.
        """
        grades = ([max(grade, 0) for grade in self.qrels[query].values()] for query in self.queries.ids)
        return torch.from_numpy(pad_rows([sorted(row, reverse=True) for row in grades]))

    def run(self, ranking: Ranking) -> Run:
        """The ranking by ids, best first, without its padding: what :func:`rankgrad.data.write_run` writes."""
        names = self.documents.ids
        scores = ranking.scores.detach().float().tolist()
        return {
            query: {names[row]: score for row, score in zip(found, row_scores, strict=True) if row >= 0}
            for query, found, row_scores in zip(self.queries.ids, self._checked(ranking), scores, strict=True)
        }

    def sample(self, n: int, seed: int = 0) -> Task:
        """The same documents with ``n`` queries drawn by ``seed``; all of them where there are no more."""
        if n < 1:
            raise InputError(f"n={n}: draw at least one query")
        if n >= len(self.queries):
            return self
        rows = sorted(random.Random(seed).sample(range(len(self.queries)), n))
        queries = self.queries.select(self.queries.ids[row] for row in rows)
        return Task(self.name, self.documents, queries, {query: self.qrels[query] for query in queries.ids})

    def _checked(self, ranking: Ranking) -> list[list[int]]:
        """The ranking's rows with -1 where masked."""
        if ranking.ids.ndim != 2 or len(ranking.ids) != len(self.queries):
            raise InputError(
                f"ranking.ids: expected [queries={len(self.queries)}, k], got {list(ranking.ids.shape)}: "
                f"rank exactly the queries of task {self.name!r}"
            )
        return ranking.ids.masked_fill(~ranking.mask, -1).tolist()


@dataclass(frozen=True)
class Collection:
    """Documents, queries and the judgements of each split.

    Args:
        name: shown in tables.
        documents: one corpus for all splits.
        queries: the queries of all splits.
        qrels: judgements by split.
        notes: what a reader of the results should know.

    Example:
        >>> texts = Texts(("1", "2"), ("Paris", "Oslo"))
        >>> collection = Collection("c", texts, Texts(("q", "unused"), ("Norway", "Peru")), {"test": {"q": {"2": 1}}})
        >>> collection.task("test").queries.ids
        ('q',)
    """

    name: str
    documents: Texts = field(repr=False)
    queries: Texts = field(repr=False)
    qrels: dict[str, Qrels] = field(repr=False)
    notes: str = ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return tuple(self.qrels)

    def only(self, *splits: str) -> Collection:
        """Some splits by themselves, with the documents that are judged in them and no others.

        Where every document belongs to a query, as in pydoc, training and test then share nothing, not even negatives.

        Raises:
            InputError: for a split that is not there, or judgements of unknown ids.
        """
        tasks = [self.task(split) for split in splits]
        judged = {name for task in tasks for grades in task.qrels.values() for name in grades}
        asked = {name for task in tasks for name in task.queries.ids}
        return Collection(
            self.name,
            self.documents.select(name for name in self.documents.ids if name in judged),
            self.queries.select(name for name in self.queries.ids if name in asked),
            {split: self.qrels[split] for split in splits},
            self.notes,
        )

    def task(self, split: str) -> Task:
        """The judged queries of one split over all documents.

        Raises:
            InputError: for a split that is not there, one without a judgement, or judgements of unknown ids.
        """
        if split not in self.qrels:
            raise InputError(f"{self.name} has no split {split!r}: choose one of {', '.join(sorted(self.qrels))}")
        qrels = {query: judged for query, judged in self.qrels[split].items() if judged}
        where = f"the qrels of split {split!r} of {self.name}"
        _refuse_unknown(f"{where} judge queries", qrels, self.queries)
        judged_documents = dict.fromkeys(name for judged in qrels.values() for name in judged)
        _refuse_unknown(f"{where} judge documents", judged_documents, self.documents)
        if not qrels:
            raise InputError(f"{where} hold no judgement: add some, or choose another split")
        queries = self.queries.select(query for query in self.queries.ids if query in qrels)
        return Task(f"{self.name}/{split}", self.documents, queries, {query: qrels[query] for query in queries.ids})


def pad_rows(rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Rows of different lengths as one float32 ``[rows, longest]`` array, filled with 0.

    Example:
        >>> pad_rows([[1, 2], [3]]).tolist()
        [[1.0, 2.0], [3.0, 0.0]]
    """
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=np.float32)
    for position, row in enumerate(rows):
        padded[position, : len(row)] = row
    return padded


def _refuse_unknown(what: str, names: Iterable[str], known: Texts) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise InputError(f"{what} that are not in the collection: {shown} ({len(unknown)} in all); mend the qrels")
