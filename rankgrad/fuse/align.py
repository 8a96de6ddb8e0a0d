"""Several rankings over the union of their documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops import RankFunction
from rankgrad.ops._arguments import accumulate
from rankgrad.types import Ranking


class Aligned(NamedTuple):
    """Each query's documents, every one once, beside what each list says of it.

    Shape:
        ids: int64 ``[queries, documents]``, ascending; -1 where ``mask`` is False.
        mask: bool ``[queries, documents]``, True = a real document.
        scores: ``[queries, lists, documents]``, 0 where the list does not hold the document.
        ranks: ``[queries, lists, documents]``, 1-based, 0 where the list does not hold the document.
        present: bool ``[queries, lists, documents]``, True = the list holds the document.
    """

    ids: Tensor
    mask: Tensor
    scores: Tensor
    ranks: Tensor
    present: Tensor


def align(rankings: Sequence[Ranking], *, ranker: RankFunction | None = None) -> Aligned:
    """Put rankings side by side: one sort of the ids of a query, no table of ids.

    A document's rank in a list is its place among the list's real documents, whatever the scores: a list that came with
    ties keeps the order it came in.

    Args:
        rankings: one a list, of the same queries; lengths may differ.
        ranker: takes the ranks from the scores instead; a soft one makes them differentiable.

    Shape:
        see :class:`Aligned`; scores float32 (float64 for float64).

    Raises:
        InputError: without a ranking, for rankings of different queries, a document twice in one list, a score that is
            NaN, or an id that is no row number.

    Example:
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> other = Ranking(torch.tensor([[3]]), torch.tensor([[0.5]]), torch.ones(1, 1, dtype=torch.bool))
        >>> aligned = align([one, other])
        >>> aligned.ids, aligned.ranks
        (tensor([[3, 7]]), tensor([[[2., 1.],
                 [1., 0.]]]))
    """
    check_rankings(rankings)
    ids, mask = (torch.cat(parts, dim=1) for parts in ([r.ids for r in rankings], [r.mask for r in rankings]))
    order, found, beyond = _by_id(ids, mask)
    first = torch.ones_like(mask)
    first[:, 1:] = found[:, 1:] != found[:, :-1]
    # Masked places share one id beyond all others: they fill the last column of a query, where it has any.
    columns = first.cumsum(dim=1) - 1
    width = int(columns.amax()) + 1 if columns.numel() else 0
    union = torch.full_like(ids[:, :1], beyond).repeat(1, width).scatter(1, columns, found)
    real = union < beyond
    documents = int(real.sum(dim=1).amax()) if real.numel() else 0
    starts = torch.cat([torch.full((r.ids.shape[1],), place * width) for place, r in enumerate(rankings)])
    columns += starts.to(ids.device)[order]

    def spread(values: Tensor) -> Tensor:
        table = values.new_zeros(len(ids), len(rankings) * width).scatter(1, columns, values.gather(1, order))
        return table.view(len(ids), len(rankings), width)[:, :, :documents]

    scores, ranks = (
        spread(torch.cat(parts, dim=1)) for parts in zip(*(_entries(r, ranker) for r in rankings), strict=True)
    )
    present = ranks > 0
    if int(present.sum()) != int(mask.sum()):
        _refuse_repeated(rankings)
    real = real[:, :documents]
    return Aligned(union[:, :documents].masked_fill(~real, -1), real, scores, ranks, present)


def check_rankings(rankings: Sequence[Ranking]) -> None:
    """Refuse what cannot be fused.

    Raises:
        InputError: without a ranking, for rankings of different queries, or a score that is NaN.
    """
    if isinstance(rankings, Ranking) or len(rankings) == 0:
        raise InputError("rankings: expected a sequence of at least one Ranking: wrap a single one in a list")
    for place, ranking in enumerate(rankings):
        if ranking.ids.shape[0] != rankings[0].ids.shape[0]:
            raise InputError(
                f"rankings: list {place} answers {ranking.ids.shape[0]} queries, list 0 {rankings[0].ids.shape[0]}: "
                "fuse rankings of the same queries"
            )
        if bool((ranking.scores.isnan() & ranking.mask).any()):
            raise InputError(f"rankings: a score of list {place} is NaN: leave the document out or mend the stage")


def _entries(ranking: Ranking, ranker: RankFunction | None) -> tuple[Tensor, Tensor]:
    """Scores and ranks of one list's places, both 0 at masked ones."""
    scores = accumulate(ranking.scores, "scores").masked_fill(~ranking.mask, 0.0)
    if ranker is not None:
        return scores, ranker(scores, mask=ranking.mask)
    return scores, (ranking.mask.cumsum(dim=1) * ranking.mask).to(scores.dtype)


def _by_id(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, int]:
    """The order of ids in each row, equal ones in order of place, the ids in it, and the id of masked places.

    An id and its place make one number: sorting those alone is twice as fast as sorting ids with their places.
    """
    width = max(ids.shape[1], 1)
    beyond = torch.iinfo(torch.int64).max // width - 1
    if bool(((ids < 0) | (ids >= beyond)).logical_and(mask).any()):
        raise InputError(f"ids: expected row numbers from 0 to {beyond - 1}: number the documents")
    places = torch.arange(ids.shape[1], device=ids.device)
    packed = (ids.masked_fill(~mask, beyond) * width + places).sort(dim=1).values
    found = packed // width
    return packed - found * width, found, beyond


def _refuse_repeated(rankings: Sequence[Ranking]) -> None:
    for place, ranking in enumerate(rankings):
        for query, (ids, mask) in enumerate(zip(ranking.ids, ranking.mask, strict=True)):
            names, counts = ids[mask].unique(return_counts=True)
            if bool((counts > 1).any()):
                name = int(names[counts > 1][0])
                raise InputError(
                    f"rankings: list {place} holds document {name} of query {query} more than once: give it once a list"
                )
    raise InputError("ranker: it gave a real document rank 0 or less: give ranks from 1")
