"""The best documents of a row of scores, equals in order of their row."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.types import Ranking


def check_k(k: int, documents: int) -> None:
    """Refuse a number of documents that the collection cannot give.

    Raises:
        InputError: for ``k`` below 1 or above the size of the collection.
    """
    if not 1 <= k <= documents:
        raise InputError(f"k={k} must lie between 1 and the size of the collection: pass {documents} at most")


def check_allowed(allowed: Tensor, queries: int, documents: int) -> Tensor:
    """A mask as bool ``[queries, documents]``.

    Raises:
        TypeError: for a tensor that is no mask.
        InputError: for a mask of other documents or queries.
    """
    if allowed.dtype != torch.bool:
        raise TypeError(f"allowed: expected torch.bool, True = may be found, got {allowed.dtype}")
    if allowed.shape not in ((documents,), (queries, documents)):
        raise InputError(
            f"allowed: expected [{documents}] or [{queries}, {documents}], one value a document, "
            f"got {list(allowed.shape)}"
        )
    return allowed.expand(queries, documents)


def top(scores: Tensor, k: int, *, floor: float = 0.0) -> Ranking:
    """The ``k`` highest scores above ``floor`` of each row ``[queries, documents]``; equal ones by their position.

    Example:
        >>> ranking = top(torch.tensor([[0.0, 1.0, 2.0, 1.0]]), 3)
        >>> ranking.ids.tolist(), top(torch.tensor([[0.0, 1.0]]), 2).ids.tolist()
        ([[2, 1, 3]], [[1, -1]])
    """
    width = min(k + 1, scores.shape[-1])
    values, ids = scores.topk(width)
    # torch.topk picks any of the entries that tie at the cut; only such rows need a full look.
    for row in (values[:, k - 1] == values[:, -1]).logical_and(values[:, k - 1] > floor).nonzero().flatten().tolist():
        if width > k:
            inside = (scores[row] >= values[row, k - 1]).nonzero().flatten()
            order = scores[row, inside].argsort(descending=True, stable=True)[:k]
            ids[row, :k] = inside[order]
    ids = ids[:, :k].sort(dim=-1).values
    values, order = scores.gather(1, ids).sort(dim=-1, descending=True, stable=True)
    return masked_ranking(ids.gather(1, order), values, values > floor)


def masked_ranking(ids: Tensor, scores: Tensor, mask: Tensor) -> Ranking:
    """A ranking whose places without a document read -1 and -inf."""
    return Ranking(ids.masked_fill(~mask, -1), scores.masked_fill(~mask, -torch.inf), mask)


def descending(ids: Tensor, scores: Tensor, mask: Tensor) -> Ranking:
    """A ranking of these documents by these scores; equals by their row number. Gradients reach the scores.

    Example:
        >>> descending(torch.tensor([[4, 2, 9]]), torch.tensor([[1.0, 1.0, 3.0]]), torch.ones(1, 3).bool()).ids.tolist()
        [[9, 2, 4]]
    """
    scores = scores.masked_fill(~mask, -torch.inf)
    order = ids.argsort(dim=-1, stable=True)
    order = order.gather(1, scores.detach().gather(1, order).argsort(dim=-1, descending=True, stable=True))
    # A real document may score -inf too; it stands before the places without one.
    order = order.gather(1, mask.gather(1, order).argsort(dim=-1, descending=True, stable=True))
    return masked_ranking(ids.gather(1, order), scores.gather(1, order), mask.gather(1, order))
