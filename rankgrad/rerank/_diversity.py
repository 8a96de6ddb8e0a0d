"""What the diversifying stages share: candidates' relevance and similarities in, a selection out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.rerank._splice import check_ranking, splice
from rankgrad.types import Queries, Ranking

# Similarities of the candidates of a group of queries: 2**22 doubles are 32 MiB.
_GROUP_ELEMENTS = 1 << 22

Select = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Relevance ``[q, n]``, cosines ``[q, n, n]``, mask ``[q, n]``, k -> places in the order chosen, int64 ``[q, k]``."""


def check_diversity(embeddings: Tensor, k: int, candidates: int, trade_off: float) -> Tensor:
    """The embeddings ``[documents, dim]`` at length 1.

    Raises:
        InputError: for no table of finite numbers, or a number outside of its range.
    """
    if embeddings.dim() != 2 or 0 in embeddings.shape:
        raise InputError(f"embeddings: expected [documents, dim], got {list(embeddings.shape)}")
    if not embeddings.isfinite().all():
        raise InputError("embeddings: expected finite values, got NaN or infinity")
    if not 1 <= k <= candidates:
        raise InputError(f"k={k} must lie between 1 and candidates={candidates}: no more are chosen than considered")
    if not 0 <= trade_off <= 1:
        raise InputError(f"trade_off={trade_off} must lie between 0 (diversity alone) and 1 (relevance alone)")
    return normalize(embeddings.detach().float(), dim=-1)


def diversify(
    queries: Queries, ranking: Ranking, embeddings: Tensor, select: Select, *, k: int, candidates: int
) -> Ranking:
    """Put the selection of the first ``candidates`` at the head of a ranking; the rest follow in their order.

    The scores that go out say the order alone: 0, -1, -2, ... from the top.

    Raises:
        InputError: for an empty query, or a ranking of other queries or of another collection, or one that names a
            document twice.
    """
    check_ranking(queries, ranking, len(embeddings))
    places = ranking.ids.shape[1]
    alone = ranking.ids.where(ranking.mask, -1 - torch.arange(places, device=ranking.ids.device))
    if (alone.sort(dim=1).values.diff(dim=1) == 0).any():
        raise InputError("the ranking names a document twice for a query: leave one out")
    ids, mask = ranking.ids[:, :candidates].clamp(min=0), ranking.mask[:, :candidates]
    relevance = min_max(ranking.scores[:, :candidates].detach().double(), mask)
    group = max(1, _GROUP_ELEMENTS // max(1, ids.shape[1] * max(ids.shape[1], embeddings.shape[1])))
    chosen = []
    for start in range(0, len(ids), group):
        inside = slice(start, start + group)
        # Float64: of near duplicates all but the last digits cancel.
        vectors = embeddings[ids[inside].to(embeddings.device)].double().to(ids.device)
        cosines = vectors @ vectors.transpose(1, 2)
        chosen.append(select(relevance[inside], cosines, mask[inside], min(k, ids.shape[1])))
    head = torch.cat(chosen)
    # Behind the chosen stand the others, in the order they came in.
    order = torch.arange(places, device=ids.device).repeat(len(ids), 1)
    rank = order + places
    rank.scatter_(1, head, order[:, : head.shape[1]])
    order = rank.argsort(dim=1)
    moved = Ranking(*(field.gather(1, order) for field in ranking))
    return splice(moved, -torch.arange(places, device=ids.device, dtype=torch.float32).expand(len(ids), -1))


def next_choice(value: Tensor, closed: Tensor) -> tuple[Tensor, Tensor]:
    """The place of the largest value among those open, of equals the first, and what is closed then.

    Args:
        value: of each item.
        closed: 0 = open, 1 = masked, which is open when nothing else is, 2 = chosen before.

    Shape:
        value, closed: ``[queries, items]``; returns int64 ``[queries, 1]`` and int8 ``[queries, items]``.

    Example:
        >>> best, closed = next_choice(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[0, 0, 1]], dtype=torch.int8))
        >>> best.tolist(), closed.tolist()
        ([[1]], [[0, 2, 1]])
    """
    open_now = closed == closed.amin(1, keepdim=True)
    best = value.masked_fill(~open_now, -torch.inf).argmax(1, keepdim=True)
    return best, closed.scatter(1, best, 2)


def min_max(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores of real places from 0 to 1; 1 for all where they are equal.

    Example:
        >>> min_max(torch.tensor([[5.0, 3.0, 1.0, 0.0]]), torch.tensor([[True, True, True, False]])).tolist()
        [[1.0, 0.5, 0.0, 0.0]]
    """
    finite = mask & scores.isfinite()
    low = scores.masked_fill(~finite, torch.inf).amin(1, keepdim=True)
    spread = scores.masked_fill(~finite, -torch.inf).amax(1, keepdim=True) - low
    scaled = torch.where(spread > 0, (scores - low) / spread, 1.0)
    return scaled.masked_fill(~finite, 0.0)
