"""Sums of scores scaled by their distribution: DBSF, standardised and additive multi-task fusion."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from rankgrad.fuse._fused import Weights
from rankgrad.fuse.align import Aligned
from rankgrad.fuse.normalise import Normalisation
from rankgrad.fuse.score_sum import Missing, ScoreFusion, score_fusion
from rankgrad.types import Ranking


def distribution_fusion(rankings: Sequence[Ranking], *, weights: Weights = None) -> Ranking:
    """Distribution-based score fusion: the sum of ``w_l (s_l - mean_l + 3 sigma_l) / (6 sigma_l)``.

    Mean and sigma (divisor n - 1) are those of the list; one without spread gives 1/2. A document beyond three sigma is
    not cut off. A list that does not hold a document adds nothing, as if it stood three sigma below the mean.

    Args:
        rankings: one a list, of the same queries.
        weights: of the lists; None = 1; a tensor takes a gradient, and so do scores.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for an infinite score, or weights or rankings that cannot be used.

    Reference:
        Mazzeschi: Distribution-based score fusion, 2023; the DBSF of Qdrant.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[3.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> distribution_fusion([one]).scores
        tensor([[0.6179, 0.3821]])
    """
    return score_fusion(rankings, normalisation="three_sigma", weights=weights)


class DistributionFusion(nn.Module):
    """:func:`distribution_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[3.0, 3.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> DistributionFusion()([one, one]).scores
        tensor([[1., 1.]])
    """

    def __init__(self, *, weights: Weights = None) -> None:
        super().__init__()
        self.sum = ScoreFusion(normalisation="three_sigma", weights=weights)

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return self.sum.contributions(aligned)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return self.sum(rankings)


def standardised_fusion(
    rankings: Sequence[Ranking], *, clip: float | None = 3.0, weights: Weights = None, missing: Missing = "lowest"
) -> Ranking:
    """The sum of z-scores cut to ``[-clip, clip]``: ``sum_l w_l clamp((s_l - mean_l) / sigma_l)``, sigma by n.

    Args:
        rankings: one a list, of the same queries.
        clip: in deviations; None = do not cut.
        weights: of the lists; None = 1; a tensor takes a gradient, and so do scores.
        missing: what a list that does not hold a document adds: ``"lowest"``, its lowest z-score, or ``"zero"``, its
            mean, with which a document that it lacks stands before those it puts below its mean.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for a clip of 0 or less, an infinite score, or weights or rankings that cannot be used.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[3.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> standardised_fusion([one, one]).scores
        tensor([[ 2., -2.]])
    """
    return score_fusion(rankings, normalisation="z_score", clip=clip, weights=weights, missing=missing)


class StandardisedFusion(nn.Module):
    """:func:`standardised_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[3.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> StandardisedFusion(clip=0.5)([one, one]).scores
        tensor([[ 1., -1.]])
    """

    def __init__(self, *, clip: float | None = 3.0, weights: Weights = None, missing: Missing = "lowest") -> None:
        super().__init__()
        self.sum = ScoreFusion(normalisation="z_score", clip=clip, weights=weights, missing=missing)

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return self.sum.contributions(aligned)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return self.sum(rankings)


def additive_multi_task_fusion(
    rankings: Sequence[Ranking], *, weights: Sequence[float] | Tensor, normalisation: Normalisation = "z_score"
) -> Ranking:
    """Scores of several tasks added up: ``sum_l w_l x_l`` of normalised scores, as ``ctr + 20 ctcvr`` in a shop.

    It is the weighted sum whose weights have no default: what a click is worth beside a purchase is nobody's guess.
    Each list is a task's scores of the same documents; one that a task lacks gets 0 of it.

    Args:
        rankings: one a task, of the same queries.
        weights: what each task is worth; a tensor takes a gradient, and so do scores.
        normalisation: ``"none"`` where the scores are probabilities already.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for an unknown normalisation, an infinite score, or weights or rankings that cannot be used.

    Reference:
        Fu et al.: Residual multi-task learner for applied ranking, KDD 2024 (arXiv 2411.09705).

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> click = Ranking(torch.tensor([[7, 3]]), torch.tensor([[0.50, 0.25]]), real)
        >>> buy = Ranking(torch.tensor([[3, 7]]), torch.tensor([[0.0625, 0.03125]]), real)
        >>> fused = additive_multi_task_fusion([click, buy], weights=(1, 20), normalisation="none")
        >>> fused.ids, fused.scores
        (tensor([[3, 7]]), tensor([[1.5000, 1.1250]]))
    """
    return score_fusion(rankings, normalisation=normalisation, weights=weights)


class AdditiveMultiTaskFusion(nn.Module):
    """:func:`additive_multi_task_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[3.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> AdditiveMultiTaskFusion(weights=(1, 20))([one, one]).scores
        tensor([[ 21., -21.]])
    """

    def __init__(self, *, weights: Sequence[float] | Tensor, normalisation: Normalisation = "z_score") -> None:
        super().__init__()
        self.sum = ScoreFusion(normalisation=normalisation, weights=weights)

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return self.sum.contributions(aligned)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return self.sum(rankings)
