"""A stage that scores rows of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.data.feature_lists import FeatureLists
from rankgrad.retrieve._top import descending
from rankgrad.types import Ranking


class FeatureStage(nn.Module):
    """Reorder the items of lists of feature rows; the ids of a ranking are places in its list.

    Only the rows that the ranking names are scored. A ranker with attention among the items sees these alone.

    Args:
        ranker: a :class:`rankgrad.models.FeatureRanker`, or anything from lists to scores.
        columns: the features that it reads, those that a cheap stage can have; None = all.

    Shape:
        features ``[queries, items, features]``; ids, scores, mask ``[queries, candidates]``.

    Raises:
        InputError: for no columns, or a ranking of other lists.

    Example:
        >>> stage = FeatureStage(lambda lists: lists.features.sum(dim=-1), columns=[1])
        >>> lists = FeatureLists(torch.tensor([[[9.0, 1.0], [0.0, 2.0]]]), torch.ones(1, 2, dtype=torch.bool))
        >>> stage(lists, whole_lists(lists)).ids
        tensor([[1, 0]])
    """

    columns: Tensor | None

    def __init__(
        self, ranker: nn.Module | Callable[[FeatureLists], Tensor], *, columns: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        if columns is not None and (not len(columns) or min(columns) < 0):
            raise InputError(f"columns: expected at least one, counted from 0, got {list(columns)}")
        self.ranker = ranker
        # A buffer moves with the module; what it holds is a setting, and no state.
        self.register_buffer("columns", None if columns is None else torch.tensor(list(columns)), persistent=False)

    def forward(self, queries: FeatureLists, ranking: Ranking) -> Ranking:
        """Score and reorder all of ``ranking``."""
        features, ids = queries.features, ranking.ids.where(ranking.mask, 0)
        if len(ids) != len(features) or (ids.numel() and not int(ids.max()) < features.shape[1]):
            raise InputError(
                f"the ranking is of {len(ids)} lists with items up to {int(ids.max()) if ids.numel() else 0}, the "
                f"features are of {features.shape[0]} lists of {features.shape[1]}: give both of the same lists"
            )
        if self.columns is not None:
            if int(self.columns.max()) >= features.shape[-1]:
                raise InputError(f"columns: up to {int(self.columns.max())}, but a row has {features.shape[-1]}")
            features = features[..., self.columns]
        rows = features.gather(1, ids.unsqueeze(-1).expand(*ids.shape, features.shape[-1]))
        return descending(ranking.ids, self.ranker(FeatureLists(rows, ranking.mask)), ranking.mask)


def whole_lists(lists: FeatureLists) -> Ranking:
    """All items of each list as candidates, in their order, with score 0.

    Example:
        >>> whole_lists(FeatureLists(torch.zeros(1, 2, 3), torch.tensor([[True, False]]))).ids
        tensor([[ 0, -1]])
    """
    places = torch.arange(lists.mask.shape[1], device=lists.mask.device).expand(lists.mask.shape)
    scores = torch.zeros(lists.mask.shape, device=lists.mask.device)
    return Ranking(places.masked_fill(~lists.mask, -1), scores.masked_fill(~lists.mask, -torch.inf), lists.mask)
