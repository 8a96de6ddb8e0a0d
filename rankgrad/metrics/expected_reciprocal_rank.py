"""Expected reciprocal rank."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._cascade import stop_probabilities, stops
from rankgrad.metrics._lists import cut_weights, in_runs, titled
from rankgrad.metrics._modules import forward_list
from rankgrad.metrics._ranked import Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def expected_reciprocal_rank(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | None = None,
    max_label: float = 4.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    cut_temperature: float | None = None,
) -> Tensor:
    """The mean of 1 over the rank at which a user who reads from the top is satisfied.

    ``ERR = sum_i c(r_i) / r_i R_i prod_{j before i} (1 - R_j)`` with the chance ``R_i = (2^y_i - 1) / 2^max_label``
    that item i satisfies, ranks ``r`` and the cut ``c(r) = clamp(k + 1 - r, 0, 1)``. Negative labels satisfy nobody.
    With a soft ranker the ranks are soft and who comes before whom stays hard.

    The highest label is an option, not taken from the data: a list's value then does not depend on the others. 4 is
    that of the TREC web tracks' ``gdeval``.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: cut-off; None = the whole list.
        max_label: the highest label there is.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        cut_temperature: with a soft ranker, cut by ``sigmoid((k + 1/2 - r) / cut_temperature)`` instead of the ramp.

    Shape:
        scores, labels, mask, tie_order ``[..., items]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, k below 1, ``ties="average"``, or (on a CPU) a label above
            ``max_label``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Chapelle, Metzler, Zhang, Grinspan: Expected reciprocal rank for graded relevance, CIKM 2009.

    Example:
        >>> import torch
        >>> expected_reciprocal_rank(torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([3, 2, 0, 1]))
        tensor(0.4974)
    """
    no_average(ties, "expected reciprocal rank")

    def values(scores: Tensor, labels: Tensor, mask: Tensor | None, tie_order: Tensor | None) -> Tensor:
        first = k if cut_temperature is None else None
        lists = rank_lists(scores, labels, mask, None, tie_order, ranker=ranker, ties=ties, first=first).in_order()
        chances = stop_probabilities(lists.labels, max_label)
        weights = lists.weights(lambda ranks: cut_weights(ranks, k, cut_temperature) / ranks)
        return lists.keep_nan((weights * stops(chances, dim=-1)).sum(dim=-1))

    return in_runs(values, scores, labels, mask, tie_order, differentiable=ranker is not hard_rank)


class ExpectedReciprocalRank(nn.Module):
    """:func:`expected_reciprocal_rank` with its options held; ``judged`` is taken for uniformity and changes nothing.

    Example:
        >>> ExpectedReciprocalRank(k=20).name
        'ERR@20'
    """

    def __init__(
        self,
        k: int | None = None,
        *,
        max_label: float = 4.0,
        ties: Ties = "stable",
        cut_temperature: float | None = None,
    ) -> None:
        super().__init__()
        self.name = titled("ERR", k)
        self.metric = partial(
            expected_reciprocal_rank, k=k, max_label=max_label, ties=ties, cut_temperature=cut_temperature
        )

    forward = forward_list
