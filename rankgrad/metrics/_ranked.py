"""Lists with their ranks: what every metric's formula is written on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.metrics._lists import at_positive_ranks, check_cut, check_lists, has_number
from rankgrad.metrics._order import ranked_order
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import accumulate, check_device

Ties: TypeAlias = Literal["stable", "average", "trec"]
"""Who of equal scores ranks first: the lower index, nobody (the mean over all orders), the higher ``tie_order``."""


@dataclass(frozen=True)
class RankedLists:
    """Lists, the ranks of their items, and the ranker behind them.

    Args:
        labels: ``[..., items]``, 0 at masked items; with an axis more where there are topics.
        mask: ``[..., items]``, True = a real item; None = every item is.
        judged: labels of all judged documents.
        ranks: ``[..., items]``, 0 at masked items; of lists in order the places ``[items]`` alone.
        numbers: ``[...]``, False for a list in which a real item's score is NaN.
        items: how many each list holds, masked ones included, those further down too that are not here.
        rank_items: ranks among some of the items, from their mask; None for lists in order.
        ties: first and last place of the run of equal scores that each item is in, counted from 0; None where ties are
            broken.
    """

    labels: Tensor
    mask: Tensor | None
    judged: Tensor
    ranks: Tensor
    numbers: Tensor
    items: int
    rank_items: Callable[[Tensor], Tensor] | None = None
    ties: tuple[Tensor, Tensor] | None = None

    def weights(self, weight: Callable[[Tensor], Tensor]) -> Tensor:
        """``weight(rank)`` of each item, 0 where masked; the mean over the ranks that tied items share."""
        if self.ties is None:
            weights = weight(at_positive_ranks(self.ranks))
            return weights if self.mask is None else weights.where(self.mask, 0.0)
        first, last = self.ties
        sums = pad(weight(self.ranks).double().cumsum(dim=-1), (1, 0)).expand(*first.shape[:-1], -1)
        means = (sums.gather(-1, last + 1) - sums.gather(-1, first)) / (last + 1 - first)
        means = means.to(self.labels.dtype)
        return means if self.mask is None else means.where(self.mask, 0.0)

    def ranks_among(self, chosen: Tensor) -> Tensor:
        """Ranks with nobody but the chosen items there; 0 at the others."""
        if self.rank_items is not None:
            return self.rank_items(chosen)
        counted = chosen.to(self.ranks.dtype)
        return counted.cumsum(dim=-1) * counted

    def known(self) -> Tensor:
        """True for the real items that were judged: their label is not negative."""
        known = self.labels >= 0
        return known if self.mask is None else known & self.mask

    def length(self) -> Tensor:
        """``[...]``, the number of real items."""
        if self.mask is not None:
            return self.mask.to(self.labels.dtype).sum(dim=-1)
        return torch.full_like(self.numbers, self.items, dtype=self.labels.dtype)

    def in_order(self) -> RankedLists:
        """The same lists with their items by rank; where ranks are soft they stay so, their order is hard."""
        if self.rank_items is None:
            return self
        order = ranked_order(-self.ranks, self.mask)
        topics = self.labels.dim() > order.dim()
        labels = _gather_rows(self.labels, order) if topics else self.labels.gather(-1, order)
        mask = None if self.mask is None else self.mask.gather(-1, order)
        return RankedLists(labels, mask, self.judged, self.ranks.gather(-1, order), self.numbers, self.items)

    def keep_nan(self, values: Tensor) -> Tensor:
        """NaN for lists with a score that is none, whichever items the metric looked at."""
        return values.masked_fill(~self.numbers, float("nan"))


def listed_rank(x: Tensor, /, *, mask: Tensor | None = None) -> Tensor:
    """Ranks of lists whose items stand in order already: the place among the real items.

    Example:
        >>> listed_rank(torch.zeros(3), mask=torch.tensor([True, False, True]))
        tensor([1., 0., 2.])
    """
    real = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
    return real.cumsum(dim=-1).to(accumulate(x, "x").dtype).masked_fill(~real, 0.0)


def rank_lists(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    judged: Tensor | None = None,
    tie_order: Tensor | None = None,
    *,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    first: int | None = None,
    relevance_level: float = 1.0,
    topics: bool = False,
) -> RankedLists:
    """Check the lists of a metric and rank them.

    Args:
        scores, labels, mask, judged, ranker, ties, tie_order, relevance_level: of the metric.
        first: items further down need not be there, where ranks are hard.
        topics: labels have an axis more.

    Raises:
        InputError: for shapes that do not fit, a rule of ties that is unknown, that lacks its ``tie_order`` or that a
            soft ranker does not need.
        TypeError: for scores that are not floating point or a mask that is not bool.
    """
    check_cut(first)
    labels, judged = check_lists(scores, labels, mask, judged, relevance_level=relevance_level, topics=topics)
    items = scores.shape[-1]
    listed = ranker is listed_rank
    if not listed and ranker is not hard_rank:
        if ties != "stable":
            raise InputError(f'ties="{ties}": a ranker of your own has its own rule; leave ties as "stable"')
        # Widened once, so that the gradients of several rankings are added before they are rounded.
        wide = accumulate(scores, "scores")
        ranks = ranker(wide, mask=mask)
        return RankedLists(
            labels, mask, judged, ranks, has_number(ranks, None), items, lambda chosen: ranker(wide, mask=chosen)
        )
    depth = items if first is None or ties == "average" else min(first, items)
    numbers, values = has_number(scores, mask), scores.detach()
    if listed:
        labels = labels[..., :depth, :] if topics else labels[..., :depth]
        mask = None if mask is None else mask[..., :depth]
    else:
        order = ranked_order(scores, mask, _tie_order(scores, ties, tie_order), first=depth)
        labels = _gather_rows(labels, order) if topics else labels.gather(-1, order)
        mask = None if mask is None else mask.gather(-1, order)
        values = values.gather(-1, order) if ties == "average" else values
    runs = _runs_of_equals(values, mask) if ties == "average" else None
    places = torch.arange(1, depth + 1, device=labels.device, dtype=labels.dtype)
    return RankedLists(labels, mask, judged, places, numbers, items, ties=runs)


def no_average(ties: Ties, name: str) -> None:
    """Refuse ``"average"`` where the mean over all orders of tied items has no closed form."""
    if ties == "average":
        raise InputError(f'ties="average": {name} has no closed form for it; take "stable" or "trec"')


def check_tie_order(tie_order: Tensor, scores: Tensor) -> None:
    """Refuse places of another shape than the scores, or that are elsewhere."""
    if tie_order.shape != scores.shape:
        raise InputError(f"tie_order: expected the shape of scores {list(scores.shape)}, got {list(tie_order.shape)}")
    check_device(tie_order, "tie_order", scores, "scores")


def _tie_order(scores: Tensor, ties: Ties, tie_order: Tensor | None) -> Tensor | None:
    if ties not in ("stable", "average", "trec"):
        raise InputError(f'ties: expected "stable", "average" or "trec", got {ties!r}')
    if ties != "trec":
        return None
    if tie_order is None:
        raise InputError(
            'tie_order: ties="trec" ranks the greatest document id first: pass each id\'s place among them'
        )
    check_tie_order(tie_order, scores)
    return tie_order


def _runs_of_equals(ordered: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """First and last place of the run of equal scores that each item of sorted lists is in."""
    changes = ordered[..., 1:] != ordered[..., :-1]
    if mask is not None:
        changes = changes | (mask[..., 1:] != mask[..., :-1])
    edge = torch.ones_like(ordered[..., :1], dtype=torch.bool)
    places = torch.arange(ordered.shape[-1], device=ordered.device).expand(ordered.shape)
    first = places.where(torch.cat([edge, changes], dim=-1), 0).cummax(dim=-1).values
    last = places.where(torch.cat([changes, edge], dim=-1), ordered.shape[-1])
    return first, last.flip(-1).cummin(dim=-1).values.flip(-1)


def _gather_rows(labels: Tensor, order: Tensor) -> Tensor:
    return labels.gather(-2, order.unsqueeze(-1).expand(*order.shape, labels.shape[-1]))
