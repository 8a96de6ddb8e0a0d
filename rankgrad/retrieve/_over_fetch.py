"""Asking for more documents until enough of them are allowed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.types import Ranking


def over_fetch(search: Callable[[int], Ranking], k: int, allowed: Tensor) -> Ranking:
    """The first ``k`` allowed documents of a ranking that is asked for twice as many until it holds them.

    Exact where ``search(n)`` gives the first n documents of one ranking for every n.

    Args:
        search: gives a ranking of as many documents as it is asked for.
        k: documents a query.
        allowed: bool ``[queries, documents]``.

    Raises:
        InputError: when a ranking names a row that ``allowed`` does not have.
    """
    documents, wanted = allowed.shape[1], min(2 * k, allowed.shape[1])
    while True:
        ranking = search(wanted)
        if int(ranking.ids.max()) >= documents:
            raise InputError(
                f"allowed: says which of {documents} documents may be found, the retriever found row "
                f"{int(ranking.ids.max())}: make the mask for the same collection"
            )
        kept = ranking.mask & allowed.to(ranking.ids.device).gather(1, ranking.ids.clamp(min=0))
        # A query is done when it has k documents, or when the ranking ended before it was full.
        done = (kept.sum(1) >= k) | ~ranking.mask.all(1)
        if wanted >= documents or bool(done.all()):
            break
        wanted = min(2 * wanted, documents)
    order = kept.argsort(dim=1, descending=True, stable=True)[:, :k]
    mask = kept.gather(1, order)
    ids = ranking.ids.gather(1, order).masked_fill(~mask, -1)
    scores = ranking.scores.gather(1, order).masked_fill(~mask, -torch.inf)
    short = (0, k - ids.shape[1])
    return Ranking(pad(ids, short, value=-1), pad(scores, short, value=-torch.inf), pad(mask, short))
