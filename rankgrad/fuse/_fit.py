"""Training a fusion: the best of a small grid, then gradients from there, the best kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.fuse.align import Aligned, align
from rankgrad.fuse.judgements import Judgements, labels_of
from rankgrad.losses import ApproxNDCG, Loss
from rankgrad.metrics import NDCG
from rankgrad.types import Ranking

if TYPE_CHECKING:
    from rankgrad.fuse.learned import LearnedFusion

Judged: TypeAlias = tuple[Sequence[Ranking], Judgements]
# Up to so many lists, all weights in quarters are tried.
_QUARTERED = 4


class FusionMetric(Protocol):
    """A module of :mod:`rankgrad.metrics`: one value a query, higher is better."""

    def __call__(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, /, *, judged: Tensor | None = None
    ) -> Tensor: ...


class FusionFit(NamedTuple):
    """Where a fit began and ended, in the validation metric's mean over queries."""

    grid: float
    best: float
    grid_points: int
    best_step: int


class Point(NamedTuple):
    """One setting of a fusion's parameters; None = what it does not have."""

    weights: tuple[float, ...]
    k: float | None
    persistence: float | None
    temperature: float | None


class _Lists(NamedTuple):
    """Aligned lists and their labels."""

    aligned: Aligned
    labels: Tensor
    judged: Tensor


def fit_fusion(
    fusion: LearnedFusion,
    training: Judged,
    validation: Judged | None,
    *,
    loss: Loss | None,
    metric: FusionMetric | None,
    steps: int,
    learning_rate: float,
    grid: bool,
) -> FusionFit:
    """See :meth:`rankgrad.fuse.LearnedFusion.fit`."""
    if steps < 0:
        raise InputError(f"steps: expected at least 0, got {steps}")
    loss, metric = loss or ApproxNDCG(), metric or NDCG(k=10)
    seen = _prepared(training, "judgements")
    chosen_by = seen if validation is None else _prepared(validation, "validation")
    best, points = _measured(fusion, chosen_by, metric), 0
    state, best_step = _state(fusion), 0
    for point in grid_of(fusion) if grid else ():
        fusion.set(weights=point.weights, k=point.k, persistence=point.persistence, temperature=point.temperature)
        value, points = _measured(fusion, chosen_by, metric), points + 1
        if value > best:
            best, state = value, _state(fusion)
    fusion.load_state_dict(state)
    start = best
    optimizer = torch.optim.Adam(fusion.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        scores = _standardised(fusion.contributions(seen.aligned).sum(dim=1), seen.aligned.mask)
        loss(scores, seen.labels, seen.aligned.mask).backward()
        optimizer.step()
        value = _measured(fusion, chosen_by, metric)
        if value > best:
            best, best_step, state = value, step, _state(fusion)
    fusion.load_state_dict(state)
    fusion.zero_grad()
    return FusionFit(start, best, points, best_step)


def grid_of(fusion: LearnedFusion) -> Iterator[Point]:
    """Points to try: weights in quarters where those are few, else equal ones and each list above the others; decays.

    Example:
        >>> from rankgrad.fuse import LearnedFusion
        >>> points = list(grid_of(LearnedFusion(2)))
        >>> len(points), points[0]
        (20, Point(weights=(0.0, 1.0), k=1.0, persistence=None, temperature=None))
    """
    lists = fusion.lists
    weights = [each for each in product(range(5), repeat=lists) if sum(each) == 4] if lists <= _QUARTERED else []
    if not weights:
        heavier = [[share if place == one else 1 for place in range(lists)] for one in range(lists) for share in (2, 8)]
        weights = [(1,) * lists, *map(tuple, heavier)]
    ks = (None,) if fusion.log_k is None else (1.0, 10.0, 60.0, 200.0)
    persistences = (None,) if fusion.persistence_logit is None else (0.5, 0.8, 0.95, 0.99)
    temperatures = (None,) if fusion.log_temperatures is None else (0.25, 1.0, 4.0)
    for shares in weights:
        found = tuple(share / sum(shares) for share in shares)
        yield from (Point(found, *decays) for decays in product(ks, persistences, temperatures))


def _prepared(given: Judged, name: str) -> _Lists:
    rankings, judgements = given
    aligned = align([Ranking(*(field.detach() for field in ranking)) for ranking in rankings])
    labels = labels_of(aligned.ids, aligned.mask, judgements).to(aligned.scores.dtype)
    if not bool((labels > 0).any()):
        raise InputError(f"{name}: no list holds a relevant document of any query: compare the ids")
    return _Lists(aligned, labels, judgements.ideal().to(labels))


@torch.no_grad()
def _measured(fusion: LearnedFusion, lists: _Lists, metric: FusionMetric) -> float:
    scores = fusion.contributions(lists.aligned).sum(dim=1)
    return float(metric(scores, lists.labels, lists.aligned.mask, judged=lists.judged).nanmean())


def _standardised(scores: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the real documents of a query."""
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)
    centred = (scores - (scores * mask).sum(dim=1, keepdim=True) / count).masked_fill(~mask, 0.0)
    variance = centred.square().sum(dim=1, keepdim=True) / count
    return centred / variance.masked_fill(variance == 0, 1.0).sqrt()


def _state(fusion: LearnedFusion) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in fusion.state_dict().items()}
