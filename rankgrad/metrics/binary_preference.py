"""Binary preference (bpref)."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.metrics._lists import Empty, count_from, in_runs, ratio
from rankgrad.metrics._modules import forward_judged
from rankgrad.metrics._ranked import Ties, no_average, rank_lists
from rankgrad.ops import RankFunction, hard_rank


def binary_preference(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    judged: Tensor | None = None,
    relevance_level: float = 1.0,
    ranker: RankFunction = hard_rank,
    ties: Ties = "stable",
    tie_order: Tensor | None = None,
    empty: Empty = 0.0,
) -> Tensor:
    """How seldom a judged irrelevant document stands above a relevant one; what is not judged does not count.

    ``bpref = 1/R sum_{i relevant} (1 - min(n_i, R) / min(N, R))`` with R relevant and N irrelevant judged documents,
    and ``n_i`` judged irrelevant items above i. A label below 0 marks an item that nobody judged.

    Args:
        scores: higher is better.
        labels: graded relevance; relevant from ``relevance_level`` up, below 0 where there is no judgement.
        mask: True = a real item.
        judged: labels of all judged documents of each query, padded with -1; None = the list holds them all.
        relevance_level: the lowest label that counts as relevant.
        ranker: a soft one makes the metric differentiable in the scores.
        ties: of equal scores ``"stable"`` ranks the lower index first, ``"trec"`` the higher ``tie_order``.
        tie_order: each document id's place among the ids of its list, for ``"trec"``.
        empty: the value of a list without a relevant judged document; ``"skip"`` is NaN, which ``nanmean`` leaves out.

    Shape:
        scores, labels, mask, tie_order ``[..., items]``, judged ``[..., judged]`` -> ``[...]``, float32 (float64 for
        float64).

    Returns:
        One value a list; NaN for a list in which a real item's score is NaN.

    Raises:
        InputError: for shapes that do not fit, a relevance level not above 0, or ``ties="average"``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Buckley, Voorhees: Retrieval evaluation with incomplete information, SIGIR 2004; as in trec_eval.

    Example:
        >>> import torch
        >>> binary_preference(torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([1, -1, 0, 1]))
        tensor(0.5000)
    """
    no_average(ties, "bpref")

    def values(
        scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None, tie_order: Tensor | None
    ) -> Tensor:
        lists = rank_lists(
            scores, labels, mask, judged, tie_order, ranker=ranker, ties=ties, relevance_level=relevance_level
        )
        relevant, known = lists.labels >= relevance_level, lists.known()
        total = count_from(lists.judged, relevance_level).unsqueeze(-1)
        # Of the list's own labels a masked one is 0, which would count as judged.
        refused = known & ~relevant if judged is None else (lists.judged >= 0) & (lists.judged < relevance_level)
        irrelevant = refused.sum(dim=-1, keepdim=True)
        above = lists.ranks_among(known).where(relevant, 0.0) - lists.ranks_among(relevant)
        shares = above.minimum(total) / irrelevant.minimum(total).clamp(min=1.0)
        preferred = (1 - shares).where(relevant, 0.0).sum(dim=-1)
        return lists.keep_nan(ratio(preferred, total.squeeze(-1), empty))

    return in_runs(values, scores, labels, mask, judged, tie_order, differentiable=ranker is not hard_rank)


class BinaryPreference(nn.Module):
    """:func:`binary_preference` with its options held.

    Example:
        >>> BinaryPreference().name
        'bpref'
    """

    def __init__(
        self,
        *,
        relevance_level: float = 1.0,
        ties: Ties = "stable",
        empty: Empty = 0.0,
    ) -> None:
        super().__init__()
        self.name = "bpref"
        self.metric = partial(binary_preference, relevance_level=relevance_level, ties=ties, empty=empty)

    forward = forward_judged
