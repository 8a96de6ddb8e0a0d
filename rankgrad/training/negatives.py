"""Candidates for hard negatives: what a first stage, or a model behind it, finds for the training queries."""

from __future__ import annotations

from rankgrad._checks import InputError
from rankgrad.data import Collection, Run, Task, Texts
from rankgrad.retrieve import BM25
from rankgrad.training.distill import Teacher, teacher_run


class BM25Negatives:
    """Rank a collection by BM25 for the queries of a split; the data module takes its negatives from the result.

    Judged documents are in the result too: whoever draws negatives from it leaves them out.

    Args:
        depth: documents a query; fewer where the collection or the words in common give fewer.
        k1, b: BM25's parameters.

    Example:
        >>> from rankgrad.data import Texts
        >>> documents = Texts(("d1", "d2", "d3"), ("sort a list", "sort a tuple", "open a file"))
        >>> collection = Collection("c", documents, Texts(("q",), ("sort list",)), {"train": {"q": {"d1": 1}}})
        >>> list(BM25Negatives(depth=2)(collection, "train")["q"])
        ['d1', 'd2']
    """

    def __init__(self, *, depth: int = 100, k1: float = 1.2, b: float = 0.75) -> None:
        if depth < 1:
            raise InputError(f"depth={depth}: rank at least one document a query")
        self.depth = depth
        self.k1 = k1
        self.b = b

    def __call__(self, collection: Collection, split: str) -> Run:
        """Rank the documents for the queries of ``split``.

        Returns:
            Query id to document id to score, best first.

        Raises:
            InputError: for a split that is not there.
        """
        task = collection.task(split)
        first_stage = BM25(collection.documents.texts, k1=self.k1, b=self.b)
        return task.run(first_stage(task.queries.texts, k=min(self.depth, len(collection.documents))))


class RetrievedCandidates:
    """Candidates for the queries of any task over the same documents: BM25's or those of a run, in a model's order.

    Args:
        documents: the collection.
        first_stage: a run; None ranks by BM25, whose index is made here, once.
        reranker: scores what the first stage found and the relevant documents, or None; see
            :func:`rankgrad.training.teacher_scores`.
        depth: documents a query that are taken from the first stage.
        batch_size: lists that the reranker scores at once.

    Raises:
        InputError: for a depth below 1.

    Example:
        >>> documents = Texts(("d1", "d2", "d3"), ("sort a list", "sort a tuple", "open a file"))
        >>> task = Task("t", documents, Texts(("q",), ("sort list",)), {"q": {"d1": 1}})
        >>> list(RetrievedCandidates(documents, depth=2)(task)["q"])
        ['d1', 'd2']
    """

    def __init__(
        self,
        documents: Texts,
        *,
        first_stage: Run | None = None,
        reranker: Teacher | None = None,
        depth: int = 100,
        batch_size: int = 8,
    ) -> None:
        if depth < 1:
            raise InputError(f"depth={depth}: take at least one document a query")
        self.first_stage = first_stage
        self.bm25 = BM25(documents.texts) if first_stage is None else None
        self.reranker = reranker
        self.depth = depth
        self.batch_size = batch_size

    def __call__(self, task: Task) -> Run:
        """Query id to document id to score, best first."""
        found = self._found(task)
        if self.reranker is None:
            return found
        scored = teacher_run(task, found, self.reranker, batch_size=self.batch_size, progress=False)
        return {query: _best(scores, len(scores)) for query, scores in scored.items()}

    def _found(self, task: Task) -> Run:
        if self.bm25 is not None:
            return task.run(self.bm25(task.queries.texts, k=min(self.depth, len(task.documents))))
        run = self.first_stage or {}
        return {query: _best(run.get(query, {}), self.depth) for query in task.queries.ids}


def _best(scores: dict[str, float], depth: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:depth])
