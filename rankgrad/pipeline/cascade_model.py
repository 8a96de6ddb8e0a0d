"""A cascade as a model of candidate lists, which a Ranker trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.data import Dataset

from rankgrad._checks import InputError
from rankgrad._modes import learns
from rankgrad.pipeline._aligned import aligned_scores
from rankgrad.pipeline.cascade import Cascade, CascadeScores
from rankgrad.types import Queries, Ranking


class Candidates(NamedTuple):
    """Queries and the documents to put in order, by row number."""

    queries: Queries
    ranking: Ranking


class CandidateBatch(NamedTuple):
    """Candidates and what a loss judges them by, with the fields of :class:`rankgrad.data.ListBatch`."""

    features: Candidates
    labels: Tensor
    mask: Tensor
    teacher_scores: Tensor | None = None
    judged: Tensor | None = None


class CandidateLists(Dataset[int]):
    """Queries with their candidates and labels, for a ``DataLoader`` with ``collate_fn=lists.collate``.

    Args:
        queries: texts.
        ranking: their candidates, of a first stage.
        labels: their grades, of :meth:`rankgrad.data.Task.labels`.
        judged: all grades of each query, of :meth:`rankgrad.data.Task.judged`.

    Shape:
        labels ``[queries, documents]``, judged ``[queries, any]``.

    Raises:
        InputError: for fields of different numbers of queries.

    Example:
        >>> import torch
        >>> ranking = Ranking(torch.tensor([[1, 0]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> lists = CandidateLists(["capital of Norway"], ranking, torch.tensor([[1.0, 0.0]]))
        >>> lists.collate([0]).features.queries
        ['capital of Norway']
    """

    def __init__(self, queries: Queries, ranking: Ranking, labels: Tensor, *, judged: Tensor | None = None) -> None:
        counts = {len(queries), len(labels), len(ranking.ids)} | (set() if judged is None else {len(judged)})
        if len(counts) != 1:
            raise InputError(f"queries, ranking, labels and judged are of {sorted(counts)} queries: give one row each")
        self.queries, self.ranking, self.labels, self.judged = tuple(queries), ranking, labels, judged

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, rows: Sequence[int]) -> CandidateBatch:
        """The queries at these places as one batch."""
        taken = list(rows)
        ranking = Ranking(*(field[taken].detach() for field in self.ranking))
        judged = None if self.judged is None else self.judged[taken]
        candidates = Candidates([self.queries[row] for row in taken], ranking)
        return CandidateBatch(candidates, self.labels[taken], ranking.mask, None, judged)


def list_scores(cascade: Cascade, queries: Any, ranking: Ranking) -> CascadeScores | Tensor:
    """What is trained, in training; else the scores of what the cascade runs, in the order of ``ranking``."""
    if learns(cascade):
        return cascade.relaxed(queries, ranking)
    return aligned_scores(cascade(queries, ranking), ranking).masked_fill(~ranking.mask, 0.0)


class CascadeModel(nn.Module):
    """A cascade of texts for :class:`rankgrad.training.Ranker`, with a :class:`CascadeLoss`.

    In training it gives :class:`CascadeScores`; evaluated, each stage runs on what was handed on, and the scores
    ``[queries, documents]`` are those of the ranking that comes out.

    Args:
        cascade: its stages are rerankers over one collection.

    Example:
        >>> import torch
        >>> from rankgrad.retrieve import LearnableBM25
        >>> documents = ["a red cat", "a dog", "a cat"]
        >>> model = CascadeModel(Cascade([LearnableBM25(documents)] * 2, cutoffs=[2], costs=[1, 1])).eval()
        >>> ids = torch.tensor([[0, 1, 2]])
        >>> model(Candidates(["red"], Ranking(ids, torch.zeros(1, 3), torch.ones(1, 3).bool()))).argmax().item()
        0
    """

    def __init__(self, cascade: Cascade) -> None:
        super().__init__()
        self.cascade = cascade

    def forward(self, candidates: Candidates) -> CascadeScores | Tensor:
        return list_scores(self.cascade, *candidates)
