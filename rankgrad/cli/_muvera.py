"""MUVERA's encodings by the options of ``rankgrad index``, from its command line or an experiment's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rankgrad.modules import Muvera


def muvera_of(options: Any, dim: int) -> Muvera:
    """The module for token embeddings of a width, which no projection exceeds.

    Args:
        options: have ``repetitions``, ``partition_bits``, ``projection_dim``, ``final_dim`` and ``seed``.
        dim: the width.
    """
    from rankgrad.modules import Muvera

    return Muvera(
        dim,
        repetitions=options.repetitions,
        partition_bits=options.partition_bits,
        projection_dim=min(options.projection_dim, dim),
        final_dim=options.final_dim,
        seed=options.seed,
    )
