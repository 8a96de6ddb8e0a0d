"""From what each list says of a document to one ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.fuse.align import Aligned, align_checked, check_rankings, on_one_device
from rankgrad.ops import RankFunction
from rankgrad.ops._order import stable_order
from rankgrad.types import Ranking

Contributions: TypeAlias = Callable[[Aligned], Tensor]
"""``[queries, lists, documents]``: what each list adds to each document's score; 0 at masked documents."""
Weights: TypeAlias = Sequence[float] | Tensor | None

# Queries go through in groups whose tensors stay near the cache.
_GROUP_ELEMENTS = 1 << 17


def fuse(rankings: Sequence[Ranking], contributions: Contributions, *, ranker: RankFunction | None = None) -> Ranking:
    """Every document of any list by the sum of its contributions, best first; of equal scores the lower id.

    Args:
        rankings: one a list, of the same queries, fused on the device of the first.
        contributions: from aligned lists to what each adds.
        ranker: as for :func:`rankgrad.fuse.align`.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.
    """
    check_rankings(rankings)
    rankings = on_one_device(rankings)
    queries, width = len(rankings[0].ids), sum(ranking.ids.shape[1] for ranking in rankings)
    group = max(1, _GROUP_ELEMENTS // max(width, 1))
    parts = []
    for start in range(0, max(queries, 1), group):
        some = [Ranking(*(field[start : start + group] for field in one)) for one in rankings]
        aligned = align_checked(some, ranker=ranker)
        parts.append(in_order(aligned, contributions(aligned).sum(dim=1)))
    if len(parts) == 1:
        return parts[0]
    widest = max(part.ids.shape[1] for part in parts)
    fills = (-1, -torch.inf, False)
    return Ranking(
        *(
            torch.cat([pad(field, (0, widest - field.shape[1]), value=fill) for field in fields])
            for fields, fill in zip(zip(*parts, strict=True), fills, strict=True)
        )
    )


def in_order(aligned: Aligned, scores: Tensor) -> Ranking:
    """The documents of ``aligned`` by score, best first; of equal scores the lower id. Gradients reach ``scores``."""
    scores = scores.masked_fill(~aligned.mask, -torch.inf)
    order = stable_order(scores, descending=True)
    return Ranking(*(field.gather(1, order) for field in (aligned.ids, scores, aligned.mask)))


def list_weights(weights: Weights, aligned: Aligned) -> Tensor:
    """One weight a list as ``[lists, 1]``; ones for None.

    Raises:
        InputError: for another number of weights than lists, a negative or infinite one, or none above 0.
    """
    lists = aligned.scores.shape[1]
    if weights is None:
        return aligned.scores.new_ones(lists, 1)
    found = torch.as_tensor(weights, dtype=aligned.scores.dtype, device=aligned.scores.device)
    if found.shape != (lists,):
        raise InputError(f"weights: expected one for each of the {lists} lists, got shape {list(found.shape)}")
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    if not exporting and not bool(((found >= 0) & found.isfinite()).all() & (found.sum() > 0)):
        raise InputError("weights: expected numbers of at least 0, one of them above 0: their sum weighs the lists")
    return found.unsqueeze(1)
