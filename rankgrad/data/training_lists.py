"""The candidate lists of an epoch: positives with negatives drawn anew each time, and the lists that validate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankgrad._checks import InputError
from rankgrad.data.records import CandidateList, Run, Task

# Of the queries; so many may well have nothing irrelevant among their candidates.
_FEW = 0.01


@dataclass(frozen=True)
class ReadyLists:
    """Lists that are the same in each epoch, behind the ``(epoch, index)`` keys of :class:`EpochLoader`.

    Args:
        lists: what index i gives.
    """

    lists: Sequence[CandidateList]

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, key: tuple[int, int]) -> CandidateList:
        return self.lists[key[1]]


class DrawnLists:
    """For each query one relevant document and negatives, drawn by (seed, epoch, index) and nothing else.

    The key is ``(epoch, index)``, so that a worker needs no state: the same key gives the same list in each process.

    Args:
        task: queries, judgements and documents; queries without a relevant document are left out.
        candidates: documents a query's negatives come from; None draws from the whole collection. Documents
            with a grade above 0 are skipped. A query with too few gets a shorter list, and one with none a list of one
            document, which teaches something beside other lists alone.
        negatives: how many a list.
        ranks: first and last rank (from 1) of the candidates that may become negatives.
        teacher_scores: scores that every drawn document must have, or None.
        seed: of the draw.

    Raises:
        InputError: for a negative number of negatives, ranks out of order, candidates that are not in the collection,
            a task of which nothing remains, or negatives where no query has a candidate to draw them from. Where more
            than one query in a hundred has none, a warning counts them.

    Example:
        >>> from rankgrad.data import Texts
        >>> documents = Texts(("a", "b", "c"), ("Paris", "Rome", "Oslo"))
        >>> task = Task("t", documents, Texts(("q",), ("capital of Norway",)), {"q": {"c": 1}})
        >>> DrawnLists(task, {"q": {"c": 9.0, "a": 8.0, "b": 7.0}}, negatives=1, ranks=(1, 2))[0, 0].documents
        ('Oslo', 'Paris')
    """

    def __init__(
        self,
        task: Task,
        candidates: Run | None,
        *,
        negatives: int = 7,
        ranks: tuple[int, int] = (1, 100),
        teacher_scores: Run | None = None,
        seed: int = 0,
    ) -> None:
        if negatives < 0:
            raise InputError(f"negatives={negatives}: give 0 or more")
        if not 1 <= ranks[0] <= ranks[1]:
            raise InputError(f"ranks={tuple(ranks)}: give the first and the last rank, counted from 1")
        self.task = task
        self.negatives = negatives
        self.teacher_scores = teacher_scores
        self.seed = seed
        relevant = [[name for name, grade in task.qrels[query].items() if grade > 0] for query in task.queries.ids]
        kept = [row for row, names in enumerate(relevant) if names]
        if not kept:
            raise InputError(f"{task.name}: no query has a relevant document, nothing to train on")
        self.queries = [task.queries.ids[row] for row in kept]
        self.relevant = [relevant[row] for row in kept]
        self.pools = None
        if candidates is not None:
            first, last = ranks
            found = [_best_first(candidates, query)[first - 1 : last] for query in self.queries]
            self.pools = [_irrelevant(task, query, names) for query, names in zip(self.queries, found, strict=True)]
        if negatives:
            self._check_pools(ranks)

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, key: tuple[int, int]) -> CandidateList:
        epoch, index = key
        generator = np.random.default_rng([self.seed, epoch, index])
        query, relevant = self.queries[index], self.relevant[index]
        names = [relevant[generator.integers(len(relevant))], *self._negatives(index, generator)]
        documents = self.task.documents
        grades = self.task.qrels[query]
        return CandidateList(
            self.task.queries.text(query),
            tuple(documents.text(name) for name in names),
            tuple(float(max(grades.get(name, 0), 0)) for name in names),
            None if self.teacher_scores is None else tuple(self._taught(query, name) for name in names),
        )

    def _check_pools(self, ranks: tuple[int, int]) -> None:
        """Count the lists that would hold a relevant document alone: their loss is 0 whatever the model does."""
        documents = len(self.task.documents.ids)
        sizes = [documents - len(names) for names in self.relevant] if self.pools is None else map(len, self.pools)
        without = sum(size <= 0 for size in sizes)
        where = "in the collection" if self.pools is None else f"among the candidates of ranks {ranks[0]} to {ranks[1]}"
        if without == len(self):
            raise InputError(
                f"{self.task.name}: none of {without} queries has an irrelevant document {where}, so there is no "
                "negative to learn from: are the candidates those of these queries? For in-batch negatives alone, set "
                "negatives=0"
            )
        if without > _FEW * len(self):
            warnings.warn(
                f"{self.task.name}: {without} of {len(self)} queries have no irrelevant document {where}, and lists "
                "without a negative",
                stacklevel=3,
            )

    def _negatives(self, index: int, generator: np.random.Generator) -> list[str]:
        if self.pools is not None:
            pool = self.pools[index]
        else:
            ids, relevant = self.task.documents.ids, self.relevant[index]
            wanted = min(len(ids), self.negatives + len(relevant))
            pool = [ids[row] for row in generator.choice(len(ids), wanted, replace=False)]
            pool = [name for name in pool if name not in relevant]
        chosen = generator.permutation(len(pool))[: self.negatives]
        return [pool[row] for row in chosen]

    def _taught(self, query: str, document: str) -> float:
        score = (self.teacher_scores or {}).get(query, {}).get(document)
        if score is None:
            raise InputError(f"teacher_scores: none for document {document!r} of query {query!r}: score all candidates")
        return score


def ranked_lists(task: Task, candidates: Run, *, depth: int) -> list[CandidateList]:
    """The best ``depth`` candidates of each query with their grades, as a reranker will meet them.

    ``judged`` holds the grades of all relevant documents, so that a metric counts those the candidates miss. A query
    without a candidate gets one irrelevant document: left out, it would raise the mean.

    Raises:
        InputError: for a depth below 1, or candidates that are not in the collection.
    """
    if depth < 1:
        raise InputError(f"depth={depth}: take at least one candidate")
    lists = []
    for query, text in zip(task.queries.ids, task.queries.texts, strict=True):
        grades = task.qrels[query]
        names = _best_first(candidates, query)[:depth]
        if not names:
            names = [name for name in task.documents.ids if grades.get(name, 0) <= 0][:1]
        _irrelevant(task, query, names)
        documents = tuple(task.documents.text(name) for name in names)
        labels = tuple(float(max(grades.get(name, 0), 0)) for name in names)
        judged = tuple(sorted((float(grade) for grade in grades.values() if grade > 0), reverse=True))
        lists.append(CandidateList(text, documents, labels, judged=judged))
    return lists


def _best_first(run: Run, query: str) -> list[str]:
    scores = run.get(query, {})
    return sorted(scores, key=lambda name: -scores[name])


def _irrelevant(task: Task, query: str, names: list[str]) -> list[str]:
    """The names without a grade above 0; all must be documents of the task."""
    unknown = next((name for name in names if name not in task.documents), None)
    if unknown is not None:
        raise InputError(f"candidates of query {query!r}: document {unknown!r} is not in {task.name}")
    return [name for name in names if task.qrels[query].get(name, 0) <= 0]
