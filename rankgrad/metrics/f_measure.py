"""The weighted harmonic mean of precision and recall."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, count_from, cut_weights, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import check_positive


def f_measure(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    beta: float = 1.0,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Weighted harmonic mean of the precision and recall of the first k.

    ``F = (1 + beta^2) P R / (beta^2 P + R) = (1 + beta^2) f / (beta^2 rel + k)`` with ``f = sum_{i relevant} c(r_i)``
    relevant items among the first k, the cut ``c(r) = clamp(k + 1 - r, 0, 1)`` and ``rel`` relevant judged documents;
    with ``k=None`` the list's number of real items stands for k. ``trec_eval``'s ``set_F`` with parameter ``beta^2``.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        beta: how much more recall weighs than precision.
        judged: labels of all judged documents of each query, padded with 0; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``;
            ``"average"`` takes the mean over all their orders.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a relevant judged document; ``"skip"`` is NaN, which ``nanmean`` leaves out.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for
        float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, a beta or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        van Rijsbergen: Information retrieval, 2nd edition, Butterworths, 1979.

    Example:
        >>> import torch
        >>> f_measure(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([1, 0, 1]), k=1)
        tensor(0.6667)
    """
    check_positive(beta, "beta")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(
            scores,
            labels,
            mask,
            judged,
            tie_order,
            ranker=ranker,
            ties=ties,
            first=first,
            relevance_level=relevance_level,
        )
        inside = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature))
        found = (inside * (lists.labels >= relevance_level)).sum(dim=-1)
        relevant, depth = count_from(lists.judged, relevance_level), k or lists.length()
        whole = (beta**2 * relevant + depth).masked_fill(relevant == 0, 0.0)
        return lists.keep_nan(ratio((1 + beta**2) * found, whole, empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class FMeasure(nn.Module):
    """:func:`f_measure` with its options held.

    Example:
        >>> FMeasure(k=10, beta=0.5).name
        'F0.5@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        beta: float = 1.0,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled(f"F{beta:g}", k)
        self.metric = partial(
            f_measure,
            k=k,
            beta=beta,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged
