"""Inverse square rank fusion and its logarithmic variants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned
from rankgrad.ops import RankFunction
from rankgrad.types import Ranking

Variant: TypeAlias = Literal["isr", "log_isr", "log_n_isr"]


def inverse_square_rank_fusion(
    rankings: Sequence[Ranking],
    *,
    variant: Variant = "isr",
    sigma: float = 0.01,
    weights: Weights = None,
    ranker: RankFunction | None = None,
) -> Ranking:
    """Sum of inverse square ranks times a factor of the number of lists that hold the document.

    ``s(d) = f(N_d) sum_l w_l / r_l(d)^2`` over the ``N_d`` lists that hold d, others add nothing; f is ``N`` for
    ``"isr"``, ``log N`` for ``"log_isr"`` (a document of one list scores 0), ``log(N + sigma)`` for ``"log_n_isr"``.

    Args:
        rankings: one a list, of the same queries.
        variant: the factor, see above.
        sigma: of ``"log_n_isr"``, from 0 to 1.
        weights: of the lists; None = 1; a tensor takes a gradient.
        ranker: takes ranks from the scores; with a soft one the gradient reaches them. None = places in the lists.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for an unknown variant, a sigma out of range, or weights or rankings that cannot be used.

    Reference:
        Mourão, Martins, Magalhães: Multimodal medical information retrieval with unsupervised rank fusion,
        Computerized Medical Imaging and Graphics 39, 2015.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[2.0, 1.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5]]), torch.tensor([[0.5, 0.4]]), real)
        >>> inverse_square_rank_fusion([one, other]).scores
        tensor([[2.5000, 1.0000, 0.2500]])
    """
    _check(variant, sigma)
    return fuse(rankings, partial(_terms, variant=variant, sigma=sigma, weights=weights), ranker=ranker)


class InverseSquareRankFusion(nn.Module):
    """:func:`inverse_square_rank_fusion` with its options held.

    Example:
        >>> import torch
        >>> one = Ranking(torch.tensor([[7]]), torch.tensor([[2.0]]), torch.ones(1, 1, dtype=torch.bool))
        >>> InverseSquareRankFusion()([one, one]).scores
        tensor([[4.]])
    """

    def __init__(
        self,
        *,
        variant: Variant = "isr",
        sigma: float = 0.01,
        weights: Weights = None,
        ranker: RankFunction | None = None,
    ) -> None:
        super().__init__()
        _check(variant, sigma)
        self.variant: Variant = variant
        self.sigma, self.weights, self.ranker = sigma, weights, ranker

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return _terms(aligned, variant=self.variant, sigma=self.sigma, weights=self.weights)

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions, ranker=self.ranker)


def _terms(aligned: Aligned, *, variant: Variant, sigma: float, weights: Weights) -> Tensor:
    held = aligned.held
    lists = held.sum(dim=1, keepdim=True).clamp(min=1)
    factor = lists if variant == "isr" else (lists if variant == "log_isr" else lists + sigma).log()
    # Absent documents have rank 0; they get 1 so that no division by 0 reaches the gradient.
    return factor * list_weights(weights, aligned) * held / (aligned.ranks + (1 - held)).square()


def _check(variant: str, sigma: float) -> None:
    if variant not in ("isr", "log_isr", "log_n_isr"):
        raise InputError(f'variant: expected "isr", "log_isr" or "log_n_isr", got {variant!r}')
    if not 0 <= sigma <= 1:
        raise InputError(f"sigma: expected a number from 0 to 1, got {sigma}")
