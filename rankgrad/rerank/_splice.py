"""Putting new scores at the head of a ranking and its old tail below them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rankgrad._checks import InputError, check_texts
from rankgrad.types import Queries, Ranking


def check_stage(documents: Sequence[str], k: int) -> None:
    """Refuse a collection that is none, and a ``k`` that reranks nothing.

    Raises:
        InputError: naming the argument and the remedy.
    """
    check_texts(documents, "document", allow_blank=True)
    if k < 1:
        raise InputError(f"k={k} reranks nothing: pass at least 1")


def check_ranking(queries: Queries, ranking: Ranking, documents: int) -> None:
    """Refuse a ranking of other queries or of another collection.

    Raises:
        InputError: naming what differs.
    """
    check_texts(queries, "query")
    if ranking.ids.shape[0] != len(queries):
        raise InputError(
            f"the ranking has {ranking.ids.shape[0]} rows for {len(queries)} queries: pass one row a query"
        )
    rows = ranking.ids[ranking.mask]
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < documents:
        raise InputError(
            f"the ranking names rows {int(rows.min())} to {int(rows.max())}, this stage holds {documents} documents: "
            "build both on the same collection"
        )


def splice(ranking: Ranking, scores: Tensor, *, first_stage_weight: float = 0.0) -> Ranking:
    """Reorder the head of a ranking by ``scores``; its tail follows in its own order.

    The tail's scores say nothing beside the new ones, so it gets new ones too: falling in steps from below the lowest
    finite score of the head. Equal scores stay in the order they came in. Gradients reach ``scores``.

    Args:
        ranking: the ranking that came in.
        scores: new scores of its first columns; a masked place counts for nothing whatever stands there.
        first_stage_weight: how much of the incoming score is added to a new one.

    Shape:
        scores: float32 ``[queries, head]``, ``head <= k``.

    Example:
        >>> ids = torch.tensor([[7, 8, 9]])
        >>> incoming = Ranking(ids, torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3, dtype=torch.bool))
        >>> outgoing = splice(incoming, torch.tensor([[0.25, 0.5]]))
        >>> outgoing.ids.tolist(), outgoing.scores.tolist()
        ([[8, 7, 9]], [[0.5, 0.25, -0.75]])
    """
    head, width = scores.shape[-1], ranking.ids.shape[-1]
    if first_stage_weight:
        scores = scores + first_stage_weight * ranking.scores[:, :head].masked_fill(~ranking.mask[:, :head], 0.0)
    lowest = scores.detach().masked_fill(~ranking.mask[:, :head] | scores.isinf(), torch.inf).amin(-1, keepdim=True)
    lowest = lowest.masked_fill(lowest.isinf(), 0.0)
    # Steps of 1 would vanish beside scores beyond float32's whole numbers.
    step = (lowest.abs() * 2.0**-18).clamp(min=1.0)
    tail = lowest - step * torch.arange(1, width - head + 1, device=scores.device)
    joined = torch.cat([scores, tail], dim=-1).masked_fill(~ranking.mask, -torch.inf)
    # Real documents first: a real one may score -inf too and must still stand before the masked places.
    order = ranking.mask.sort(dim=-1, descending=True, stable=True).indices
    order = order.gather(1, joined.gather(1, order).argsort(dim=-1, descending=True, stable=True))
    return Ranking(ranking.ids.gather(1, order), joined.gather(1, order), ranking.mask.gather(1, order))
