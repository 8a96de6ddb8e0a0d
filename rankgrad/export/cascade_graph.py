"""A cascade of feature rankers as one graph."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad.ops._order import stable_order
from rankgrad.pipeline import FeatureCascade, FeatureStage


class CascadeGraph(nn.Module):
    """What :class:`rankgrad.pipeline.FeatureCascade` gives evaluated, without a slice whose width depends on the data.

    The cut-offs are those of now, in whole items. Lists are filled up by as many masked places as the first stage hands
    on, so that every head is as wide as its cut-off: a later stage runs on just so many rows, also of a shorter list.

    Args:
        model: it is not copied.

    Shape:
        features ``[lists, items, features]``, mask bool ``[lists, items]`` -> ``[lists, items]``, 0 where masked.

    Example:
        >>> options = {"hidden": [[4], [8]], "cutoffs": [2], "costs": [1, 1], "transform": "none"}
        >>> model = FeatureCascade(3, columns=[[0], None], **options).eval()
        >>> rows, mask = torch.rand(1, 5, 3), torch.tensor([[True, False, True, True, True]])
        >>> torch.equal(CascadeGraph(model)(rows, mask), model.forward_lists(rows, mask))
        True
    """

    def __init__(self, model: FeatureCascade) -> None:
        super().__init__()
        self.stages = model.cascade.stages
        self.cutoffs = model.cascade.hard_cutoffs

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        items = mask.shape[1]
        scores = self._scored(0, features, mask)
        first = stable_order(scores, descending=True)
        order = pad(first, (0, self.cutoffs[0]))
        # Real items stand first from here on: what is masked sinks, and equals keep their order.
        real = torch.arange(items + self.cutoffs[0], device=mask.device) < mask.sum(dim=1, keepdim=True)
        joined = scores
        for place, k in enumerate(self.cutoffs, 1):
            if place > 1:
                order = order.gather(1, stable_order(joined, descending=True))
            head, kept = order[:, :k], real[:, :k]
            rows = features.gather(1, head.unsqueeze(-1).expand(-1, -1, features.shape[-1]))
            joined = with_tail(self._scored(place, rows, kept), kept, real)
        found = torch.zeros_like(scores).scatter(1, order[:, :items], joined[:, :items])
        return found.masked_fill(~mask, 0.0)

    def _scored(self, place: int, rows: Tensor, real: Tensor) -> Tensor:
        """A stage's scores of these rows; ``-inf`` where masked."""
        stage = cast(FeatureStage, self.stages[place])
        if stage.columns is not None:
            rows = rows.index_select(-1, stage.columns)
        return stage.ranker.forward_lists(rows, real).masked_fill(~real, -torch.inf)  # type: ignore[operator]


def with_tail(scores: Tensor, kept: Tensor, real: Tensor) -> Tensor:
    """New scores of the head and what was dropped in steps below them, as every reranker puts it."""
    lowest = scores.masked_fill(~kept, torch.inf).amin(dim=1, keepdim=True)
    lowest = lowest.masked_fill(lowest.isinf(), 0.0)
    step = (lowest.abs() * 2.0**-18).clamp(min=1.0)
    places = torch.arange(1, real.shape[1] - scores.shape[1] + 1, device=scores.device)
    tail = lowest - step * places.to(scores.dtype)
    return torch.cat([scores, tail], dim=1).masked_fill(~real, -torch.inf)
