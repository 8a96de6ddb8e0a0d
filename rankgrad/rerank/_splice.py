"""Putting new scores at the head of a ranking and its old tail below them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rankgrad._checks import InputError, check_texts
from rankgrad.types import Queries, Ranking


def check_stage(documents: Sequence[str], k: int, first_stage_weight: float | Tensor = 0.0) -> None:
    """Refuse a collection that is none, a ``k`` that reranks nothing, and a weight that is no finite number.

    Raises:
        InputError: naming the argument and the remedy.
    """
    check_texts(documents, "document", allow_blank=True)
    if k < 1:
        raise InputError(f"k={k} reranks nothing: pass at least 1")
    if isinstance(first_stage_weight, Tensor):
        if first_stage_weight.numel() != 1:
            raise InputError(f"first_stage_weight: expected one number, got shape {list(first_stage_weight.shape)}")
    elif not math.isfinite(first_stage_weight):
        raise InputError(f"first_stage_weight={first_stage_weight} must be a finite number: 0 leaves the scores alone")


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


def plus_incoming(scores: Tensor, incoming: Tensor, weight: float | Tensor) -> Tensor:
    """``scores + weight incoming``, where 0 times an infinite score is 0.

    A weight that is a tensor receives a gradient, at 0 too, from the finite scores that came in.

    Shape:
        scores, incoming: any shape, the same; weight ``[]`` or ``[1]``.

    Example:
        >>> incoming = torch.tensor([2.0, -torch.inf])
        >>> plus_incoming(torch.ones(2), incoming, 0.0), plus_incoming(torch.ones(2), incoming, 0.5)
        (tensor([1., 1.]), tensor([2., -inf]))
    """
    if not isinstance(weight, Tensor):
        return scores + weight * incoming if weight else scores
    weight = weight.to(scores)
    infinite = incoming.isinf()
    part = weight * incoming.masked_fill(infinite, 0.0)
    beyond = (weight.detach() * incoming).where(infinite & (weight.detach() != 0), 0.0)
    return scores + part + beyond


def splice(ranking: Ranking, scores: Tensor, *, first_stage_weight: float | Tensor = 0.0) -> Ranking:
    """Reorder the head of a ranking by ``scores``; its tail follows in its own order.

    The tail's scores say nothing beside the new ones, so it gets new ones too: falling in steps from below the lowest
    finite score of the head. Equal scores stay in the order they came in. Gradients reach ``scores``.

    Args:
        ranking: the ranking that came in.
        scores: new scores of its first columns; a masked place counts for nothing whatever stands there.
        first_stage_weight: how much of the incoming score is added to a new one; a tensor takes a gradient.

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
    incoming = ranking.scores[:, :head].masked_fill(~ranking.mask[:, :head], 0.0)
    scores = plus_incoming(scores, incoming, first_stage_weight)
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
