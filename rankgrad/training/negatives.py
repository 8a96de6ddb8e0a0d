"""Hard negatives: what a first stage finds for the training queries."""

from __future__ import annotations

from rankgrad._checks import InputError
from rankgrad.data import Collection, Run
from rankgrad.retrieve import BM25


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
