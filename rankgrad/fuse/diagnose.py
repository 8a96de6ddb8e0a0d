"""What fusing some lists can bring: overlap, agreement, complementarity, and a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.fuse.align import Aligned, align
from rankgrad.fuse.judgements import Judgements, labels_of
from rankgrad.metrics import kendall_tau
from rankgrad.types import Ranking


class Diagnosis(NamedTuple):
    """Means over queries of each pair of lists, and a sentence.

    Shape:
        overlap: ``[lists, lists]``, documents that both hold over documents that either holds.
        agreement: ``[lists, lists]``, Kendall's tau-b of the ranks of documents that both hold.
        complementarity: ``[lists, lists]``, of relevant documents that either finds, the share that only one finds;
            None without judgements.
        suggestion: what these say.

    NaN where no query has anything to say of a pair.
    """

    overlap: Tensor
    agreement: Tensor
    complementarity: Tensor | None
    suggestion: str


def diagnose(
    rankings: Sequence[Ranking],
    judgements: Judgements | None = None,
    *,
    k: int | None = None,
    relevance_level: float = 1.0,
) -> Diagnosis:
    """Compare lists two by two.

    Whether fusing pays is an empirical question; lists that find other relevant documents are what makes it pay. The
    thresholds of the suggestion are rules of thumb: measure on judged queries.

    Args:
        rankings: one a list, of the same queries; at least two.
        judgements: of these queries, for complementarity.
        k: look at the first k documents of each list; None = all.
        relevance_level: the lowest label that is relevant.

    Raises:
        InputError: for one list, k below 1, or rankings or judgements that cannot be used.

    Reference:
        Louis, van Dijck, Spanakis: Know when to fuse: investigating non-English hybrid retrieval in the legal domain,
        COLING 2025.

    Example:
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.25]]), real)
        >>> judged = Judgements(torch.tensor([[7, 3]]), torch.tensor([[1, 1]]), real)
        >>> found = diagnose([one, other], judged)
        >>> found.overlap[0, 1], found.complementarity[0, 1]
        (tensor(0.3333), tensor(0.5000))
    """
    if len(rankings) < 2:
        raise InputError(f"rankings: expected at least two lists to compare, got {len(rankings)}")
    if k is not None and k < 1:
        raise InputError(f"k: expected at least 1, got {k}")
    aligned = align([Ranking(*(field.detach() for field in ranking)) for ranking in rankings])
    present = aligned.present if k is None else aligned.present & (aligned.ranks <= k)
    lists = len(rankings)
    overlap, agreement = torch.eye(lists), torch.eye(lists)
    complementarity = relevant = None
    if judgements is not None:
        relevant = labels_of(aligned.ids, aligned.mask, judgements) >= relevance_level
        complementarity = torch.zeros(lists, lists)
    for one, other in combinations(range(lists), 2):
        pair = present[:, one], present[:, other]
        overlap[one, other] = overlap[other, one] = _share(pair[0] & pair[1], pair[0] | pair[1])
        agreement[one, other] = agreement[other, one] = _tau(aligned, one, other, pair[0] & pair[1])
        if complementarity is not None and relevant is not None:
            share = _share((pair[0] ^ pair[1]) & relevant, (pair[0] | pair[1]) & relevant)
            complementarity[one, other] = complementarity[other, one] = share
    return Diagnosis(overlap, agreement, complementarity, _suggestion(overlap, agreement, complementarity))


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """The mean over queries; a query without anything in ``whole`` does not count."""
    return (part.sum(dim=1) / whole.sum(dim=1)).nanmean()


def _tau(aligned: Aligned, one: int, other: int, shared: Tensor) -> Tensor:
    ranks = aligned.ranks[:, one], aligned.ranks[:, other]
    return kendall_tau(-ranks[0], -ranks[1], shared, empty="skip").nanmean()


def _suggestion(overlap: Tensor, agreement: Tensor, complementarity: Tensor | None) -> str:
    upper = torch.triu_indices(len(overlap), len(overlap), offset=1).unbind()
    shared, tau = float(overlap[upper].nanmean()), float(agreement[upper].nanmean())
    if complementarity is not None and not complementarity[upper].isnan().all():
        only = float(complementarity[upper].nanmean())
        found = f"{only:.0%} of the relevant documents found by a pair of lists are found by one of the two alone"
        if only > 0.5:
            return f"Fuse: {found}."
        if only >= 0.2:
            return f"Fuse with care: {found}; choose method and weights on judged queries, beside the best single list."
        return f"Fusing hardly pays: {found}; take the best single list, or fuse for the order alone."
    if shared > 0.8 and tau > 0.8:
        return (
            f"Fusing hardly pays: the lists hold the same documents ({shared:.0%}) in the same order (tau {tau:.2f})."
        )
    if shared < 0.1:
        return (
            f"The lists hardly overlap ({shared:.0%}): methods that count lists (CombMNZ, ISR, voting) have nothing to "
            "count; take reciprocal ranks or a weighted sum, and judge some queries."
        )
    return (
        f"The lists share {shared:.0%} of their documents (tau {tau:.2f}): reciprocal ranks are a safe start; judge "
        "some queries to learn weights."
    )
