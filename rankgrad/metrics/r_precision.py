"""Precision at the number of relevant documents."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, count_from, cut_weights, in_runs, ratio
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank
from rankgrad.ops._arguments import check_positive


def r_precision(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    multiple: float = 1.0,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
    cut_temperature: float | None = None,
) -> Tensor:
    """Precision among the first R, R being the query's number of relevant documents.

    ``1/K sum_{i relevant} c(r_i)`` with ranks ``r``, the cut ``c(r) = clamp(K + 1 - r, 0, 1)`` and ``K = floor(multiple
    R + 0.9)``, which is R for a multiple of 1: ``trec_eval``'s ``Rprec`` and ``Rprec_mult``.

    Args:
        scores: higher is better.
        labels: graded relevance; an item is relevant from ``relevance_level`` up.
        mask: True = a real item.
        multiple: of R, where the list is cut.
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
        InputError: for shapes that do not fit, a multiple or a relevance level not above 0.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Buckley, Voorhees: Retrieval system evaluation, in TREC: experiment and evaluation in information retrieval,
        2005.

    Example:
        >>> import torch
        >>> r_precision(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, 1, 1]))
        tensor(0.5000)
    """
    check_positive(multiple, "multiple")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        lists = rank_lists(
            scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, relevance_level=relevance_level
        )
        # In float64, as trec_eval does: 0.2 of 505 is 101 there.
        relevant = count_from(lists.judged, relevance_level).unsqueeze(-1).double()
        depth = (multiple * relevant + 0.9).floor().to(lists.labels.dtype)
        inside = lists.weights(lambda ranks: cut_weights(ranks, depth, cut_temperature))
        found = (inside * (lists.labels >= relevance_level)).sum(dim=-1)
        return lists.keep_nan(ratio(found, depth.squeeze(-1), empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class RPrecision(nn.Module):
    """:func:`r_precision` with its options held.

    Example:
        >>> RPrecision().name, RPrecision(0.5).name
        ('Rprec', 'Rprec(0.5)')
    """

    def __init__(
        self,
        multiple: float = 1.0,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = "Rprec" if multiple == 1 else f"Rprec({multiple:g})"
        self.metric = partial(
            r_precision,
            multiple=multiple,
            relevance_level=relevance_level,
            ties=ties,
            empty=empty,
            cut_temperature=cut_temperature,
        )

    forward = forward_judged
