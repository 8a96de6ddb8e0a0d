"""The ``forward`` of the modules that hold a metric's options: each module binds them to its ``metric``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from rankgrad.metrics._ranked import listed_rank
from rankgrad.ops import RankFunction


class HoldsMetric(Protocol):
    """A module with a metric whose options are bound."""

    metric: Callable[..., Tensor]


def forward_judged(
    self: HoldsMetric,
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    tie_order: Tensor | None = None,
    ranker: RankFunction | None = None,
) -> Tensor:
    """One value a list; without a ranker the metric's own."""
    options = {} if ranker is None else {"ranker": ranker}
    return self.metric(scores, labels, mask, judged=judged, tie_order=tie_order, **options)


def forward_list(
    self: HoldsMetric,
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    tie_order: Tensor | None = None,
    ranker: RankFunction | None = None,
) -> Tensor:
    """The same for a metric of the list alone: ``judged`` is taken for uniformity and changes nothing."""
    options = {} if ranker is None else {"ranker": ranker}
    return self.metric(scores, labels, mask, tie_order=tie_order, **options)


def forward_untied(
    self: HoldsMetric,
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    tie_order: Tensor | None = None,
    ranker: RankFunction | None = None,
) -> Tensor:
    """The same for a metric of the list alone to which tied items are equals: ``tie_order`` changes nothing either.

    Nor does an order that was found already, which says of tied items that one comes first: they are ranked again.
    """
    options = {} if ranker is None or ranker is listed_rank else {"ranker": ranker}
    return self.metric(scores, labels, mask, **options)
