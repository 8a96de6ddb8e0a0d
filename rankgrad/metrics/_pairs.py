"""Sums over the pairs of a list, a run of items against all others at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from rankgrad.metrics._lists import check_lists
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import real_items

_ANCHORS = 256
shared_rank = partial(hard_rank, ties="average")
"""Hard ranks in which equal scores share the mean of theirs."""


def ranked_pairs(
    scores: Tensor, labels: Tensor, mask: Tensor | None, ranker: RankFunction
) -> tuple[Tensor, Callable[[], Iterator[tuple[Tensor, Tensor, Tensor]]]]:
    """Ranks, and a function that goes over the pairs in runs of at most 256 anchors.

    Returns:
        Ranks ``[..., items]``; of each run and pair (anchor i, other j): by how much i ranks before j, cut to [-1, 1],
        1 and -1 for hard ranks; the sign of ``y_i - y_j``; whether both are real and not the same. Each ``[..., run,
        items]``.
    """
    labels, _ = check_lists(scores, labels, mask)
    mask = real_items(scores, mask)
    ranks = ranker(scores, mask=mask)

    def runs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        items = ranks.shape[-1]
        places = torch.arange(items, device=ranks.device)
        for start in range(0, items, _ANCHORS):
            anchors = slice(start, min(start + _ANCHORS, items))
            pairs = mask[..., anchors, None] & mask[..., None, :] & (places[anchors, None] != places)
            ahead = (ranks[..., None, :] - ranks[..., anchors, None]).clamp(-1.0, 1.0).where(pairs, 0.0)
            wanted = (labels[..., anchors, None] - labels[..., None, :]).sign().where(pairs, 0.0)
            yield ahead, wanted, pairs

    return ranks, runs
