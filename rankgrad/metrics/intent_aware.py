"""Metrics of each topic apart, averaged over what users may mean."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.metrics._cascade import stop_probabilities, stops
from rankgrad.metrics._lists import Empty, cut_weights, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import RankedLists, Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import check_device


def intent_aware_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    topic_weights: Tensor | None = None,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Precision among the first k for each topic, averaged by how likely the topic is meant.

    ``sum_t w_t / k sum_{i relevant to t} c(r_i)`` with ranks ``r``, the cut ``c(r) = clamp(k + 1 - r, 0, 1)`` and topic
    weights ``w`` that sum to 1; with ``k=None`` the list's number of real items stands for k.

    Args:
        scores: higher is better.
        labels: graded relevance to each topic; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        topic_weights: how likely each topic is meant, at least 0; None = those with a relevant judged document are
            equally likely.
        judged: labels of all judged documents, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list whose topic weights are all 0; ``"skip"`` is NaN, which ``nanmean`` leaves out.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, mask, tie_order ``[..., items]``, labels ``[..., items, topics]``, judged ``[..., judged, topics]``,
        topic_weights ``[..., topics]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Agrawal, Gollapudi, Halverson, Ieong: Diversifying search results, WSDM 2009.

    Example:
        >>> import torch
        >>> scores, labels = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
        >>> intent_aware_precision(scores, labels, k=2)
        tensor(0.7500)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, *rest: Tensor | None) -> Tensor:
        judged, tie_order, topic_weights = rest
        lists = rank_lists(
            scores,
            labels,
            mask,
            judged,
            tie_order,
            ranker=ranker,
            ties=ties,
            relevance_level=relevance_level,
            topics=True,
        )
        inside = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature)).unsqueeze(-1)
        found = inside.where(lists.labels >= relevance_level, 0.0).sum(dim=-2)
        shares = found / k if k else ratio(found, lists.length().unsqueeze(-1), 0.0)
        return _over_topics(shares, lists, topic_weights, relevance_level, empty)

    soft = ranker is not hard_rank
    return in_runs(values, scores, labels, mask, judged, tie_order, topic_weights, differentiable=soft)


def intent_aware_err(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    max_label: float = 1.0,
    topic_weights: Tensor | None = None,
    judged: Tensor | None = None,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Expected reciprocal rank for each topic, averaged by how likely the topic is meant: ERR-IA.

    ``sum_t w_t ERR_t``, each ``ERR_t`` as in :func:`expected_reciprocal_rank` and topic weights ``w`` that sum to 1.
    TREC's ``ndeval`` divides by the value of a list that is relevant to every topic throughout; this does not.

    Args:
        scores, mask, k, topic_weights, judged, ranker, tie_order, empty, cut_temperature: as for
            :func:`intent_aware_precision`; topics count by default that have a positive judged label.
        labels: graded relevance to each topic.
        max_label: the highest label there is; 1 where topics are covered or not.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``.

    Shape:
        scores, mask, tie_order ``[..., items]``, labels ``[..., items, topics]``, judged ``[..., judged, topics]``,
        topic_weights ``[..., topics]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, ``ties="average"``, or (on a CPU) a label above
            ``max_label``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Chapelle, Ji, Liao, Velipasaoglu, Lai, Wu: Intent-based diversification of web search results: metrics and
        algorithms, Information Retrieval 14, 2011.

    Example:
        >>> import torch
        >>> scores, labels = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
        >>> intent_aware_err(scores, labels)
        tensor(0.4688)
    """
    no_average(ties, "intent-aware expected reciprocal rank")

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, *rest: Tensor | None) -> Tensor:
        judged, tie_order, topic_weights = rest
        lists = rank_lists(scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, topics=True).in_order()
        chances = stops(stop_probabilities(lists.labels, max_label), dim=-2)
        weights = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature) / ranks)
        return _over_topics((weights.unsqueeze(-1) * chances).sum(dim=-2), lists, topic_weights, _ANY, empty)

    soft = ranker is not hard_rank
    return in_runs(values, scores, labels, mask, judged, tie_order, topic_weights, differentiable=soft)


_ANY = 1e-30


def _over_topics(
    values: Tensor, lists: RankedLists, topic_weights: Tensor | None, relevance_level: float, empty: Empty
) -> Tensor:
    """The mean of each topic's values by its weight."""
    if topic_weights is None:
        weights = (lists.judged >= relevance_level).any(dim=-2).to(values.dtype)
    else:
        if topic_weights.shape != values.shape:
            raise InputError(f"topic_weights: expected {list(values.shape)}, got {list(topic_weights.shape)}")
        check_device(topic_weights, "topic_weights", values, "scores")
        weights = topic_weights.to(values.dtype)
    return lists.keep_nan(ratio((weights * values).sum(dim=-1), weights.sum(dim=-1), empty))


class IntentAwarePrecision(nn.Module):
    """:func:`intent_aware_precision` with its options held.

    Example:
        >>> IntentAwarePrecision(k=10).name
        'P-IA@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("P-IA", k)
        self.metric = partial(
            intent_aware_precision,
            k=k,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged


class IntentAwareERR(nn.Module):
    """:func:`intent_aware_err` with its options held.

    Example:
        >>> IntentAwareERR(k=20).name
        'ERR-IA@20'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        max_label: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("ERR-IA", k)
        self.metric = partial(
            intent_aware_err, k=k, max_label=max_label, ties=ties, empty=empty, cut_temperature=cut_temperature
        )

    forward = forward_judged
