"""How much of the top is judged."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import cut_weights, in_runs, ratio, titled
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def judged_share(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """Share of judged documents among the first k.

    ``1/k sum_{i: y_i >= 0} c(r_i)``: a label below 0 marks an item that nobody judged. Low values warn that other
    metrics take the unknown for irrelevant. ``judged@k``; a list shorter than k is divided by k too.

    Args:
        scores: higher is better.
        labels: graded relevance; below 0 where there is no judgement.
        mask: True = a real item.
        k: cut-off; None = the whole list.
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
        InputError: for shapes that do not fit or k below 1.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Example:
        >>> import torch
        >>> judged_share(torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0, -1, 1]), k=2)
        tensor(0.5000)
    """

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(scores, labels, mask, None, tie_order, ranker=ranker, ties=ties, first=first)
        inside = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature))
        judged = (inside * (lists.labels >= 0)).sum(dim=-1)
        return lists.keep_nan(judged / k if k else ratio(judged, lists.length(), 0.0))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


class JudgedShare(nn.Module):
    """:func:`judged_share` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> JudgedShare(k=10).name
        'judged@10'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("judged", k)
        self.metric = partial(judged_share, k=k, ties=ties, cut_temperature=cut_temperature)

    forward = forward_list
