"""Rank-biased precision, and how much the unjudged could add to it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.metrics._lists import cut_weights, in_runs, titled
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import check_positive


def rank_biased_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    persistence: float = 0.8,
    max_label: float | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """Share of relevant documents that a user sees who reads on with the same chance after each.

    ``RBP = (1 - p) sum_i g_i c(r_i) p^(r_i - 1)`` with ranks ``r``, persistence p and the cut ``c(r) = clamp(k + 1 - r,
    0, 1)``. ``g_i`` is 1 for a relevant item and 0 else; with ``max_label`` it is ``clamp(y_i, 0) / max_label``.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        persistence: p, between 0 and 1; about ``1 / (1 - p)`` items are read.
        max_label: the label that is worth 1; None = every relevant item is.
        relevance_level: the lowest label that counts as relevant, without ``max_label``.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, a persistence outside (0, 1), or a relevance level or
            ``max_label`` not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Moffat, Zobel: Rank-biased precision for measurement of retrieval effectiveness, ACM TOIS 27(1), 2008.

    Example:
        >>> rank_biased_precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, 0, 1]), persistence=0.5)
        tensor(0.6250)
    """
    _check_persistence(persistence)
    if max_label is not None:
        check_positive(max_label, "max_label")

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(
            scores,
            labels,
            mask,
            None,
            tie_order,
            ranker=ranker,
            ties=ties,
            first=first,
            relevance_level=relevance_level,
        )
        dtype = lists.labels.dtype
        worth = (
            (lists.labels >= relevance_level).to(dtype) if max_label is None else lists.labels.clamp(min=0) / max_label
        )
        weights = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature) * persistence ** (ranks - 1))
        return lists.keep_nan((1 - persistence) * (worth * weights).sum(dim=-1))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


def rank_biased_residual(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    persistence: float = 0.8,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """What rank-biased precision could gain if all that is unknown were relevant.

    ``(1 - p) sum_{i: y_i < 0} c(r_i) p^(r_i - 1) + p^n`` with the n items of the list (k where it is cut earlier): a
    label below 0 marks an item that nobody judged, and nobody judged what lies beyond the list. The true value lies
    between :func:`rank_biased_precision` and that plus this.

    Args:
        scores, mask, k, persistence, ranker, ties, tie_order, cut_temperature: as for :func:`rank_biased_precision`.
        labels: graded relevance; below 0 where there is no judgement.

    Shape:
        scores, labels, mask, tie_order ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list, 1 for a list without items; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a persistence outside (0, 1).
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Moffat, Zobel: Rank-biased precision for measurement of retrieval effectiveness, ACM TOIS 27(1), 2008.

    Example:
        >>> rank_biased_residual(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, -1, 1]), persistence=0.5)
        tensor(0.3750)
    """
    _check_persistence(persistence)

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        lists = rank_lists(scores, labels, mask, None, tie_order, ranker=ranker, ties=ties)
        weights = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature) * persistence ** (ranks - 1))
        unjudged = (weights * (lists.labels < 0)).sum(dim=-1)
        depth = lists.length() if k is None else lists.length().clamp(max=k)
        beyond = torch.full_like(unjudged.detach(), persistence) ** depth
        return lists.keep_nan((1 - persistence) * unjudged + beyond)

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


def _check_persistence(persistence: float) -> None:
    if not 0 < persistence < 1:
        raise InputError(f"persistence: expected a number between 0 and 1, got {persistence}")


class RankBiasedPrecision(nn.Module):
    """:func:`rank_biased_precision` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> RankBiasedPrecision(persistence=0.9).name
        'RBP(0.9)'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        persistence: float = 0.8,
        max_label: float | None = None,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled(f"RBP({persistence:g})", k)
        self.metric = partial(
            rank_biased_precision,
            k=k,
            persistence=persistence,
            max_label=max_label,
            relevance_level=relevance_level,
            ties=ties,
            cut_temperature=cut_temperature,
        )

    forward = forward_list


class RankBiasedResidual(nn.Module):
    """:func:`rank_biased_residual` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> RankBiasedResidual(persistence=0.9).name
        'RBP-residual(0.9)'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        persistence: float = 0.8,
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled(f"RBP-residual({persistence:g})", k)
        self.metric = partial(
            rank_biased_residual, k=k, persistence=persistence, ties=ties, cut_temperature=cut_temperature
        )

    forward = forward_list
