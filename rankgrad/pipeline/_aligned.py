"""Scores of a stage beside the documents it was asked about."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.types import Ranking


def scores_of(ranking: Ranking, ids: Tensor) -> Tensor:
    """The score that a ranking gives each of these documents of its own; gradients pass.

    Args:
        ids: ``[queries, documents]``, all of them in the ranking of their query; -1 where there is none.

    Example:
        >>> ranking = Ranking(torch.tensor([[3, 7]]), torch.tensor([[9.0, 5.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> scores_of(ranking, torch.tensor([[7, 3]]))
        tensor([[5., 9.]])
    """
    known, order = ranking.ids.masked_fill(~ranking.mask, -1).sort(dim=1, stable=True)
    places = torch.searchsorted(known, ids.contiguous()).clamp(max=max(known.shape[1] - 1, 0))
    return ranking.scores.masked_fill(~ranking.mask, -torch.inf).gather(1, order.gather(1, places))


def aligned_scores(found: Ranking, asked: Ranking) -> Tensor:
    """The scores that a reranker gave, in the order of the ranking that went in; gradients pass.

    Args:
        found: what came out.
        asked: what went in.

    Shape:
        ``[queries, documents]``, ``-inf`` where ``asked`` is masked.

    Raises:
        InputError: where the stage gives other documents than it was asked about.

    Example:
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> asked = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> aligned_scores(Ranking(torch.tensor([[3, 7]]), torch.tensor([[9.0, 5.0]]), real), asked)
        tensor([[5., 9.]])
    """
    ids = asked.ids.masked_fill(~asked.mask, -1)
    theirs = Ranking(*(field.to(ids.device) for field in found))
    known = theirs.ids.masked_fill(~theirs.mask, -1)
    if known.shape != ids.shape or not torch.equal(known.sort(dim=1).values, ids.sort(dim=1).values):
        raise InputError(
            f"a stage of a cascade was asked about documents of shape {list(ids.shape)} and gave {list(known.shape)}, "
            "or others: it must score all that it is given (raise its k)"
        )
    return scores_of(theirs, ids)
