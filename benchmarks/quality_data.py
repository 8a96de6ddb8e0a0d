"""What the systems train on, and the lists of BM25 that they put in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.data import Collection, DrawnLists, Run, Task, hold_out, pydoc_collection, read_beir
from rankgrad.metrics import ndcg
from rankgrad.retrieve import BM25
from rankgrad.training import BM25Negatives

SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_MODULES = ("json", "argparse", "collections", "logging", "email", "unittest", "asyncio", "http")


class Sizes(NamedTuple):
    """How much is measured: queries, and the documents a query that each kind of model puts in order."""

    tests: int = 300
    validation: int = 40
    late: int = 100
    pair: int = 20


QUICK = Sizes(tests=6, validation=4, late=6, pair=4)


class Asked(NamedTuple):
    """What a model scores: queries, and the documents of each."""

    queries: list[str]
    documents: list[list[str]]

    @property
    def distinct(self) -> list[str]:
        """Every document once."""
        return list(dict.fromkeys(text for texts in self.documents for text in texts))


@dataclass(frozen=True)
class Lists:
    """BM25's best documents of each query, as texts, with BM25's scores and the judgements.

    Shape:
        first: float32 ``[queries, k]``; labels: the same; mask: bool ``[queries, k]``; judged ``[queries, any]``.
    """

    ids: tuple[str, ...]
    queries: tuple[str, ...]
    documents: list[list[str]]
    first: Tensor
    labels: Tensor
    mask: Tensor
    judged: Tensor

    @classmethod
    def of(cls, task: Task, depth: int) -> Lists:
        """The first ``depth`` of each query of a task."""
        found = BM25(task.documents.texts)(task.queries.texts, min(depth, len(task.documents)))
        documents = [
            [task.documents.texts[row] for row in ids[mask].tolist()]
            for ids, mask in zip(found.ids, found.mask, strict=True)
        ]
        first = found.scores.masked_fill(~found.mask, 0.0)
        return cls(
            task.queries.ids, task.queries.texts, documents, first, task.labels(found), found.mask, task.judged()
        )

    def padded(self, scores: list[list[float]]) -> Tensor:
        """Scores of each list's documents as ``[queries, k]``, 0 where masked."""
        flat = torch.tensor([score for row in scores for score in row])
        return torch.zeros(self.mask.shape).masked_scatter(self.mask, flat)

    def ndcg(self, own: Tensor, weight: float = 0.0) -> Tensor:
        """nDCG@10 of each query, by a model's scores and ``weight`` times BM25's."""
        return ndcg(own + weight * self.first, self.labels, self.mask, k=10, judged=self.judged)

    def fit_weight(self, own: Tensor) -> float:
        """The weight of BM25's score that is best here, of a grid in units of the two scores' spreads.

        The spread is the mean over the lists of the standard deviation, so the grid means the same to every model.
        """
        unit = _spread(own, self.mask) / max(_spread(self.first, self.mask), 1e-9)
        means = [float(self.ndcg(own, share * unit).double().mean()) for share in SHARES]
        return SHARES[means.index(max(means))] * unit


@dataclass(frozen=True)
class Material:
    """A collection to train on, its BM25 candidates, and the tasks."""

    train: Collection
    candidates: Run
    validation: Task
    test: Task
    parts: dict[str, frozenset[str]]
    """Queries of each part of the test that is told apart."""

    def drawn(self, *, negatives: int, last_rank: int, seed: int, teacher: Run | None = None) -> DrawnLists:
        """One relevant document and negatives a query, anew each epoch: the same for every library."""
        return DrawnLists(
            self.train.task("train"),
            self.candidates,
            negatives=negatives,
            ranks=(1, last_rank),
            teacher_scores=teacher,
            seed=seed,
        )


def load(name: str, *, scifact: str | Path, sizes: Sizes, quick: bool) -> Material:
    """SciFact, or the built-in collection of docstrings; always the same sample of queries."""
    if name == "pydoc":
        whole = pydoc_collection(standard_library=False, packages=_MODULES) if quick else pydoc_collection()
        train, test = whole.only("train"), whole.only("test").task("test").sample(sizes.tests)
        validation = whole.only("validation" if whole.qrels["validation"] else "train")
        asked = validation.task(validation.splits[0]).sample(sizes.validation)
        parts = {"held-out modules": frozenset(test.queries.ids)}
    else:
        train = hold_out(read_beir(scifact), share=0.1)
        test, asked = train.task("test").sample(sizes.tests), train.task("validation").sample(sizes.validation)
        disjoint = train.qrels["test_docdisjoint"].keys()
        parts = {"test": frozenset(test.queries.ids), "test_docdisjoint": frozenset(disjoint) & set(test.queries.ids)}
    candidates = BM25Negatives(depth=100)(train, "train")
    return Material(train, candidates, asked, test, {part: ids for part, ids in parts.items() if ids})


def _spread(scores: Tensor, mask: Tensor) -> float:
    several = [row[real].double().std() for row, real in zip(scores, mask, strict=True) if int(real.sum()) > 1]
    return float(torch.stack(several).mean()) if several else 0.0
