"""The methods of ``rankgrad fuse`` that learn nothing: as an experiment's file names them, and as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from rankgrad._checks import InputError
from rankgrad.cli._experiment_file import Part
from rankgrad.cli.fuse import METHODS, NORMALISATIONS

if TYPE_CHECKING:
    from rankgrad.fuse import Normalisation
    from rankgrad.fuse.explain import Contributing

GIVEN = tuple(method for method in METHODS if method != "learned")
RRF_K = 60.0
SUMS = ("sum", "mnz", "anz", "max", "min", "med")


class FusionSettings(NamedTuple):
    """The options of ``rankgrad fuse`` by their names there; None = the method's default."""

    method: str
    weights: tuple[float, ...] | None
    k: float | None
    persistence: float | None
    normalise: Normalisation | None


def read_fusion(part: Part, lists: int) -> FusionSettings:
    """What a part of the file says of the fusion of so many lists.

    Raises:
        InputError: for an unknown method, an option that it does not look at, or another number of weights.
    """
    method = part.choice("method", GIVEN, "rrf")
    for option, methods in (
        ("k", ("rrf",)),
        ("persistence", ("rbc",)),
        ("normalise", SUMS),
        ("weights", tuple(name for name in GIVEN if name != "median_rank")),
    ):
        if part.has(option) and method not in methods:
            raise InputError(
                f"{part.where}: {option} says nothing to method {method}: leave it out, or take {methods[0]}"
            )
    weights = part.reals("weights") if part.has("weights") else None
    if weights is not None and len(weights) != lists:
        raise InputError(f"{part.where}: {len(weights)} weights for {lists} first stages: give each one")
    return FusionSettings(
        method,
        weights,
        part.real("k", RRF_K) if part.has("k") else None,
        part.real("persistence", 0.9) if part.has("persistence") else None,
        cast("Normalisation", part.choice("normalise", NORMALISATIONS)) if part.has("normalise") else None,
    )


def fusion_of(settings: FusionSettings) -> Contributing:
    """The module that fuses.

    Raises:
        InputError: for an option out of its range.
    """
    from rankgrad import fuse

    method, weights = settings.method, settings.weights
    match method:
        case "sum" | "mnz" | "anz" | "max" | "min" | "med":
            return fuse.ScoreFusion(combine=method, normalisation=settings.normalise or "min_max", weights=weights)
        case "isr" | "log_isr" | "log_n_isr":
            return fuse.InverseSquareRankFusion(variant=method, weights=weights)
        case "rbc":
            persistence = 0.9 if settings.persistence is None else settings.persistence
            return fuse.RankBiasedCentroids(persistence=persistence, weights=weights)
        case "borda":
            return fuse.BordaFusion(weights=weights)
        case "condorcet":
            return fuse.CondorcetFusion(weights=weights)
        case "copeland":
            return fuse.CopelandFusion(weights=weights)
        case "median_rank":
            return fuse.MedianRankFusion()
        case "dbsf":
            return fuse.DistributionFusion(weights=weights)
        case "standardised":
            return fuse.StandardisedFusion(weights=weights)
        case _:
            return fuse.ReciprocalRankFusion(k=RRF_K if settings.k is None else settings.k, weights=weights)
