"""Why a document stands where it stands: what each list added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.fuse.align import Aligned, align
from rankgrad.ops import RankFunction
from rankgrad.types import Ranking


class Contributing(Protocol):
    """A fusion whose scores are the sum of what each list adds; every one of this package."""

    def __call__(self, rankings: Sequence[Ranking]) -> Ranking: ...

    def contributions(self, aligned: Aligned) -> Tensor: ...


class Source(NamedTuple):
    """What one list says of a document and what that adds; rank and score None where it does not hold it."""

    list: int
    rank: float | None
    score: float | None
    contribution: float


class Explanation(NamedTuple):
    """A fused document: its place, its score, and the lists' contributions, which sum to the score."""

    id: int
    rank: int
    score: float
    sources: tuple[Source, ...]

    @property
    def held_by(self) -> int:
        """How many lists hold the document."""
        return sum(source.rank is not None for source in self.sources)


def explain(
    fusion: Contributing,
    rankings: Sequence[Ranking],
    *,
    query: int = 0,
    k: int | None = 10,
    documents: Sequence[int] | None = None,
    ranker: RankFunction | None = None,
) -> tuple[Explanation, ...]:
    """Each list's part in the score of a query's documents, best document first.

    Contributions sum to the score whatever the method: of a maximum or a median they stand at the lists it came from, a
    majority's win is shared among the lists that voted for it.

    Args:
        fusion: a module of this package.
        rankings: one a list, of the same queries.
        query: its row.
        k: how many of the best documents; None = all. Not looked at with ``documents``.
        documents: these alone, by id.
        ranker: as the fusion's, where it has one.

    Raises:
        InputError: for a query or a document that the rankings do not hold, or rankings that cannot be used.

    Example:
        >>> import torch
        >>> from rankgrad.fuse.reciprocal_rank import ReciprocalRankFusion
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.25]]), real)
        >>> best = explain(ReciprocalRankFusion(k=1), [one, other])[0]
        >>> best.id, best.held_by, best.sources[1]
        (3, 2, Source(list=1, rank=1.0, score=0.5, contribution=0.5))
    """
    if len(rankings) and not 0 <= query < rankings[0].ids.shape[0]:
        raise InputError(f"query: expected a row from 0 to {rankings[0].ids.shape[0] - 1}, got {query}")
    row = [Ranking(*(field[query : query + 1].detach() for field in ranking)) for ranking in rankings]
    aligned = align(row, ranker=ranker)
    parts = fusion.contributions(aligned).detach()
    fused = fusion(row)
    names, scores = fused.ids[0][fused.mask[0]].tolist(), fused.scores[0].tolist()
    ranks = {name: rank for rank, name in enumerate(names, start=1)}
    chosen = names[:k] if documents is None else list(documents)
    for name in chosen:
        if name not in ranks:
            raise InputError(f"documents: no list holds {name} for query {query}: name one of the fused documents")
    columns = {name: column for column, name in enumerate(aligned.ids[0].tolist())}
    return tuple(
        Explanation(name, ranks[name], scores[ranks[name] - 1], _sources(aligned, parts, columns[name]))
        for name in sorted(chosen, key=ranks.__getitem__)
    )


def _sources(aligned: Aligned, parts: Tensor, column: int) -> tuple[Source, ...]:
    columns = (field[0, :, column].tolist() for field in (aligned.present, aligned.ranks, aligned.scores, parts))
    return tuple(
        Source(place, rank if held else None, score if held else None, part)
        for place, (held, rank, score, part) in enumerate(zip(*columns, strict=True))
    )
