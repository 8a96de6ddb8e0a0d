"""What trec_eval prints and no metric is: counts, ratios of metrics, gains given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from rankgrad import metrics
from rankgrad.metrics import Gain
from rankgrad.ops import RankFunction

_PERSISTENCE = 0.9


def one_query(scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction) -> Tensor:
    """1 for each list."""
    return torch.ones_like(scores[..., :1]).sum(dim=-1) if scores.shape[-1] else scores.new_ones(scores.shape[:-1])


def retrieved(scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction) -> Tensor:
    """How many documents a list has."""
    return mask.sum(dim=-1).to(scores.dtype)


def relevant(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, level: float
) -> Tensor:
    """How many judged documents are relevant."""
    return (judged >= level).sum(dim=-1).to(scores.dtype)


def relevant_retrieved(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, level: float
) -> Tensor:
    """How many of a list's documents are relevant."""
    return ((labels >= level) & mask).sum(dim=-1).to(scores.dtype)


def irrelevant_retrieved(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, level: float
) -> Tensor:
    """How many of a list's documents are judged irrelevant."""
    return ((labels >= 0) & (labels < level) & mask).sum(dim=-1).to(scores.dtype)


def relative_precision(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, k: int | None, level: float
) -> Tensor:
    """Precision over the highest that is possible, with as many relevant documents as there are."""
    depth = torch.full_like(scores.sum(dim=-1), k) if k else mask.sum(dim=-1).to(scores.dtype)
    found = metrics.precision(scores, labels, mask, k=k, relevance_level=level, ranker=ranker) * depth
    most = (judged >= level).sum(dim=-1).to(scores.dtype).minimum(depth)
    return found / most.clamp(min=1.0)


def set_map(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, level: float
) -> Tensor:
    """Precision times recall of the whole list."""
    found = metrics.recall(scores, labels, mask, judged=judged, relevance_level=level, ranker=ranker)
    return found * metrics.precision(scores, labels, mask, relevance_level=level, ranker=ranker)


def unjudged_share(
    scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction, k: int
) -> Tensor:
    """Share of the first k that nobody judged; a list that ends before has judged documents there."""
    return metrics.precision(scores, (labels < 0).to(scores.dtype), mask, k=k, ranker=ranker)


def mean_interpolated(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor,
    *,
    judged: Tensor,
    ranker: RankFunction,
    levels: Sequence[float],
    level: float,
) -> Tensor:
    """The mean of interpolated precision over some levels of recall."""
    at = partial(
        metrics.interpolated_precision, scores, labels, mask, judged=judged, relevance_level=level, ranker=ranker
    )
    return torch.stack([at(recall_level=each) for each in levels], dim=-1).mean(dim=-1)


def graded_rbp(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor,
    *,
    judged: Tensor,
    ranker: RankFunction,
    persistence: float = _PERSISTENCE,
) -> Tensor:
    """Rank-biased precision of grades as gains, divided by the query's highest grade where that is above 1."""
    found = metrics.rank_biased_precision(scores, labels, mask, persistence=persistence, max_label=1.0, ranker=ranker)
    return found / judged.to(found.dtype).amax(dim=-1).clamp(min=1.0)


def rbp_residual(scores: Tensor, labels: Tensor, mask: Tensor, *, judged: Tensor, ranker: RankFunction) -> Tensor:
    """The residual of rank-biased precision; as in trec_eval 0 for a list of which everything is judged."""
    found = metrics.rank_biased_residual(scores, labels, mask, persistence=_PERSISTENCE, ranker=ranker)
    return found.masked_fill(~((labels < 0) & mask).any(dim=-1), 0.0)


def gain_of(text: str) -> Gain:
    """``linear``, ``exp2``, or pairs ``grade=gain``; a grade without a pair gains itself.

    Example:
        >>> gain_of("1=3,2=9")(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        tensor([0., 3., 9., 3.])
    """
    if text == "linear":
        return "linear"
    if text == "exp2":
        return "exp2"
    pairs = [pair.split("=") for pair in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"a gain is linear, exp2, or pairs such as 1=3,2=9, got {text!r}")
    return partial(_gains, pairs=[(float(grade), float(gain)) for grade, gain in pairs])


def _gains(labels: Tensor, pairs: Sequence[tuple[float, float]]) -> Tensor:
    worth = labels.clamp(min=0.0)
    for grade, gain in pairs:
        worth = worth.masked_fill(labels == grade, gain)
    return worth
