"""Sums and other combinations of normalised scores: CombSUM and its family."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse._fused import Weights, fuse, list_weights
from rankgrad.fuse.align import Aligned, as_numbers
from rankgrad.fuse.normalise import Normalisation, check_normalisation, lowest_of, normalise_clean
from rankgrad.fuse.voting import beyond_others, middle_ones
from rankgrad.ops import RankFunction
from rankgrad.types import Ranking

Combination: TypeAlias = Literal["sum", "mnz", "anz", "max", "min", "med"]
Missing: TypeAlias = Literal["zero", "lowest"]


def score_fusion(
    rankings: Sequence[Ranking],
    *,
    combine: Combination = "sum",
    normalisation: Normalisation = "min_max",
    weights: Weights = None,
    missing: Missing = "zero",
    temperature: float = 1.0,
    clip: float | None = None,
    ranker: RankFunction | None = None,
) -> Ranking:
    """Combine each document's normalised scores ``x_l``, times the lists' weights, over the N lists that hold it.

    ``"sum"`` is CombSUM ``sum_l w_l x_l``, with weights the weighted sum; ``"mnz"`` CombMNZ ``N sum_l w_l x_l``,
    ``"anz"`` CombANZ ``sum_l w_l x_l / N``, ``"max"``, ``"min"`` and ``"med"`` the largest, least and median
    ``w_l x_l`` of those lists (of an even number the mean of the middle two). Gradients reach scores and weights.

    Args:
        rankings: one a list, of the same queries.
        combine: see above.
        normalisation: how the scores of a list are made comparable; see :func:`rankgrad.fuse.normalise`.
        weights: of the lists; None = 1; a tensor takes a gradient.
        missing: what a list that does not hold a document adds to its ``"sum"``: ``"zero"`` as published, or
            ``"lowest"``, its lowest normalised score, which a z-score (whose 0 is the mean) wants.
        temperature: of ``normalisation="sigmoid"``.
        clip: of ``normalisation="z_score"``.
        ranker: for ``"rank"`` and ``"quantile"``: takes ranks from the scores; None = places in the lists.

    Shape:
        ids, scores, mask ``[queries, documents]``, as wide as the largest union of a query.

    Raises:
        InputError: for an unknown option, ``missing="lowest"`` of another combination than ``"sum"``, a clip or a
            ranker that the normalisation has no use for, an infinite score, or weights or rankings that cannot be used.

    Reference:
        Fox, Shaw: Combination of multiple searches, TREC-2, 1993.

    Example:
        >>> real = torch.ones(1, 3, dtype=torch.bool)
        >>> one = Ranking(torch.tensor([[7, 3, 1]]), torch.tensor([[9.0, 6.0, 5.0]]), real)
        >>> other = Ranking(torch.tensor([[3, 5, 7]]), torch.tensor([[0.5, 0.4, 0.3]]), real)
        >>> fused = score_fusion([one, other], combine="mnz")
        >>> fused.ids, fused.scores
        (tensor([[3, 7, 5, 1]]), tensor([[2.5000, 2.0000, 0.5000, 0.0000]]))
    """
    _check(combine, normalisation, missing, temperature, clip, ranker)
    terms = partial(
        _terms,
        combine=combine,
        normalisation=normalisation,
        weights=weights,
        missing=missing,
        temperature=temperature,
        clip=clip,
    )
    return fuse(rankings, terms, ranker=ranker)


class ScoreFusion(nn.Module):
    """:func:`score_fusion` with its options held.

    Example:
        >>> one = Ranking(torch.tensor([[7, 3]]), torch.tensor([[9.0, 6.0]]), torch.ones(1, 2, dtype=torch.bool))
        >>> ScoreFusion(combine="max")([one, one]).scores
        tensor([[1., 0.]])
    """

    def __init__(
        self,
        *,
        combine: Combination = "sum",
        normalisation: Normalisation = "min_max",
        weights: Weights = None,
        missing: Missing = "zero",
        temperature: float = 1.0,
        clip: float | None = None,
        ranker: RankFunction | None = None,
    ) -> None:
        super().__init__()
        _check(combine, normalisation, missing, temperature, clip, ranker)
        self.combine: Combination = combine
        self.normalisation: Normalisation = normalisation
        self.missing: Missing = missing
        self.weights, self.temperature, self.clip, self.ranker = weights, temperature, clip, ranker

    def contributions(self, aligned: Aligned) -> Tensor:
        """What each list adds to each document, ``[queries, lists, documents]``."""
        return _terms(
            aligned,
            combine=self.combine,
            normalisation=self.normalisation,
            weights=self.weights,
            missing=self.missing,
            temperature=self.temperature,
            clip=self.clip,
        )

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return fuse(rankings, self.contributions, ranker=self.ranker)


def _terms(
    aligned: Aligned,
    *,
    combine: Combination,
    normalisation: Normalisation,
    weights: Weights,
    missing: Missing,
    temperature: float,
    clip: float | None,
) -> Tensor:
    held = aligned.held
    values = normalise_clean(
        aligned.scores, held, method=normalisation, temperature=temperature, clip=clip, ranks=aligned.ranks
    )
    if missing == "lowest" and values.shape[2]:
        lowest = lowest_of(values, held, values.detach().abs().amax(dim=2, keepdim=True))
        # Absent values are 0, and so is the lowest of a list without documents, which says nothing.
        values = values + lowest * (as_numbers(aligned.mask, held.dtype).unsqueeze(1) - held)
    values = list_weights(weights, aligned) * values
    if combine == "sum":
        return values
    if combine == "med":
        return middle_ones(values, held)
    if combine in ("max", "min"):
        return _extreme(values, held, largest=combine == "max")
    lists = held.sum(dim=1, keepdim=True).clamp(min=1)
    return values * lists if combine == "mnz" else values / lists


def _extreme(values: Tensor, held: Tensor, *, largest: bool) -> Tensor:
    """The largest or least value over the lists in its place, of equal ones in the first list."""
    signed = beyond_others(-values.detach() if largest else values.detach(), held)
    best = as_numbers(signed == signed.amin(dim=1, keepdim=True), values.dtype)
    free, chosen = torch.ones_like(best[:, 0]), []
    for place in range(best.shape[1]):
        chosen.append(best[:, place] * free)
        free = free - chosen[-1]
    return values * torch.stack(chosen, dim=1)


def _check(
    combine: str, normalisation: str, missing: str, temperature: float, clip: float | None, ranker: object
) -> None:
    if combine not in get_args(Combination):
        raise InputError(f"combine: expected one of {', '.join(get_args(Combination))}, got {combine!r}")
    if missing not in get_args(Missing):
        raise InputError(f'missing: expected "zero" or "lowest", got {missing!r}')
    if missing == "lowest" and combine != "sum":
        raise InputError(
            f'missing="lowest" belongs to combine="sum"; combine={combine!r} counts the lists that hold it'
        )
    check_normalisation(normalisation, temperature, clip)
    if ranker is not None and normalisation not in ("rank", "quantile"):
        raise InputError(f"ranker takes ranks, which normalisation={normalisation!r} does not look at: leave it out")
