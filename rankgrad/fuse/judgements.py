"""Judged documents of a batch of queries, and the labels they give a ranking."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError

_BEYOND = torch.iinfo(torch.int64).max


class Judgements(NamedTuple):
    """The judged documents of each query.

    Shape:
        ids: int64 ``[queries, judged]``, row numbers.
        labels: ``[queries, judged]``, graded relevance.
        mask: bool ``[queries, judged]``, True = a judgement.
    """

    ids: Tensor
    labels: Tensor
    mask: Tensor

    def ideal(self) -> Tensor:
        """The labels with 0 in masked places: what a metric takes for ``judged``."""
        return self.labels.masked_fill(~self.mask, 0)


def labels_of(ids: Tensor, mask: Tensor, judgements: Judgements) -> Tensor:
    """The label of each document; 0 without a judgement and in masked places.

    Args:
        ids: row numbers.
        mask: True = a real document.
        judgements: of the same queries, on whatever device.

    Shape:
        ids, mask ``[queries, documents]`` -> ``[queries, documents]`` in the labels' dtype, on the ids' device.

    Raises:
        InputError: for judgements of another number of queries.

    Example:
        >>> judged = Judgements(torch.tensor([[9, 4]]), torch.tensor([[1, 3]]), torch.ones(1, 2, dtype=torch.bool))
        >>> labels_of(torch.tensor([[4, 5, 9]]), torch.tensor([[True, True, False]]), judged)
        tensor([[3, 0, 0]])
    """
    if judgements.ids.shape[0] != ids.shape[0]:
        raise InputError(
            f"judgements are of {judgements.ids.shape[0]} queries, the rankings of {ids.shape[0]}: give one row a query"
        )
    judgements = Judgements(*(field.to(ids.device) for field in judgements))
    if judgements.ids.shape[1] == 0:
        return judgements.labels.new_zeros(ids.shape)
    known, order = judgements.ids.masked_fill(~judgements.mask, _BEYOND).sort(dim=1)
    places = torch.searchsorted(known, ids.contiguous()).clamp(max=known.shape[1] - 1)
    judged = (known.gather(1, places) == ids) & mask
    return judgements.labels.gather(1, order.gather(1, places)).masked_fill(~judged, 0)
