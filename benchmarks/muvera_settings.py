"""Which encodings and codecs are measured."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

from rankgrad.modules import Muvera

EXACT = "rankgrad, every document, fp16"
DENSE = "mean of the token embeddings"
FAISS = "rankgrad, candidates by HNSW32, fp16"
_CODECS = ("fp16", "int8", "sign", "residual4", "residual2")


class Sketch(NamedTuple):
    """The sizes of MUVERA's encodings."""

    repetitions: int
    bits: int
    projection_dim: int
    final_dim: int | None = None

    @property
    def name(self) -> str:
        """Repetitions, partitions, values a partition, and the width they come to."""
        width = self.repetitions * 2**self.bits * self.projection_dim
        sketched = "" if self.final_dim is None else f", sketched to {self.final_dim:,}"
        return f"rankgrad MUVERA {self.repetitions} x {2**self.bits} x {self.projection_dim} = {width:,}{sketched}"

    def make(self, dim: int) -> Muvera:
        """The module."""
        return Muvera(
            dim,
            repetitions=self.repetitions,
            partition_bits=self.bits,
            projection_dim=self.projection_dim,
            final_dim=self.final_dim,
        )


SKETCHES = (
    Sketch(20, 4, 16),
    Sketch(5, 4, 16),
    Sketch(10, 4, 16),
    Sketch(20, 3, 8),
    Sketch(20, 4, 8),
    Sketch(20, 5, 16),
    Sketch(40, 5, 16, final_dim=5_120),
    Sketch(40, 5, 16),
)


def codecs(quick: bool) -> dict[str, dict[str, Any]]:
    """Options of the retriever by name; all take their candidates from the first encodings."""
    found: dict[str, dict[str, Any]] = {f"rankgrad, 200 candidates, {codec}": {"codec": codec} for codec in _CODECS}
    if find_spec("faiss") and not quick:
        found[FAISS] = {"codec": "fp16", "factory": "HNSW32"}
    return found
