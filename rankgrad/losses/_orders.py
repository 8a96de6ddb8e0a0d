"""Lists in the order of their labels, and what is left of them at each place."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.losses._lists import Lists, bounded
from rankgrad.ops._order import stable_order
from rankgrad.ops.scans import reverse_logcumsumexp

LabelTies: TypeAlias = Literal["together", "lowest_index"]


class Ordered(NamedTuple):
    """A list from its highest label down; masked items last."""

    order: Tensor  # [..., n]
    labels: Tensor  # [..., n], -inf at masked items
    scores: Tensor  # [..., n], finite or NaN
    real: Tensor  # [..., n]
    rest: Tensor  # [..., n] log sum exp of the scores from each place on, 0 at masked items

    def first(self) -> Tensor:
        """``[..., n]``, the place, from 0, where each item's run of equal labels begins."""
        places = torch.arange(self.labels.shape[-1], device=self.labels.device).expand_as(self.labels)
        return places.where(pad(self._changes(), (1, 0), value=True), 0).cummax(dim=-1).values

    def after(self) -> Tensor:
        """``[..., n]``, the place after the run."""
        count = self.labels.shape[-1]
        ends = torch.arange(1, count + 1, device=self.labels.device).expand_as(self.labels)
        return ends.where(pad(self._changes(), (0, 1), value=True), count).flip(-1).cummin(dim=-1).values.flip(-1)

    def _changes(self) -> Tensor:
        return self.labels[..., 1:] != self.labels[..., :-1]


def by_labels(lists: Lists, temperature: float = 1.0) -> Ordered:
    """Sort scores over ``temperature`` by labels; the lower index first among equal ones."""
    # Labels of -inf are no lower than the lowest number, so that masked items still come after them.
    keys = lists.labels.detach().clamp(min=torch.finfo(lists.labels.dtype).min)
    keys = keys.masked_fill(~lists.mask, float("-inf"))
    order = stable_order(keys, descending=True)
    labels = keys.gather(-1, order)
    real = labels != float("-inf")
    scores = bounded(lists.scores).gather(-1, order)
    scores = scores if temperature == 1 else scores / temperature
    return Ordered(order, labels, scores, real, reverse_logcumsumexp(scores, mask=real))


def lags(ordered: Ordered, ties: LabelTies) -> Tensor:
    """``log sum exp(s_j) - s_i`` over what is left when item i is to be taken; 0 at masked items.

    With ``"together"`` that is every item whose label is no higher, with ``"lowest_index"`` the items behind it.
    """
    if ties not in ("together", "lowest_index"):
        raise InputError(f'ties: expected "together" or "lowest_index", got {ties!r}')
    left = ordered.rest.gather(-1, ordered.first()) if ties == "together" else ordered.rest
    return (left - ordered.scores).masked_fill(~ordered.real, 0.0)


def within(ordered: Ordered, k: int, ties: LabelTies) -> Tensor:
    """Which places are among the first ``k``; tied items stand, together, where the first of them does."""
    places = torch.arange(ordered.real.shape[-1], device=ordered.real.device)
    return ordered.real & ((ordered.first() if ties == "together" else places) < k)


def weighted_in_order(terms: Tensor, lists: Lists, ordered: Ordered) -> Tensor:
    """One term a place, times the weight of the item there."""
    return terms if lists.weights is None else terms * lists.weights.gather(-1, ordered.order)
