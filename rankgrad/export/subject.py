"""What a bundle is made of, where that is not the model as it is: a model, its graph, and how to compare the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor, nn

from rankgrad.export.probe import Shape
from rankgrad.export.reference import Ranker, TextRanker
from rankgrad.export.trace import Axes


class Probe(NamedTuple):
    """Inputs of one shape, by the names that the graph gives them."""

    shape: Shape
    rows: Any


class Subject(Protocol):
    """A model of texts as the writer of its bundle sees it.

    Attributes:
        model: a copy on the CPU, in float32 and eval mode.
        graph: the module that is traced; it shares the model's weights.
        kind: one of :data:`rankgrad.deploy.text_settings.TEXT_KINDS`.
        dim: width of the first output.
        axes: of the inputs, then of the outputs, by name.
    """

    kind: str
    dim: int
    axes: dict[str, Axes]

    @property
    def model(self) -> TextRanker: ...

    @property
    def graph(self) -> nn.Module: ...

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with: no size of 0 or 1, and real padding."""
        ...

    def probes(self) -> Iterator[Probe]:
        """Random inputs of the shapes that the graph is compared on."""
        ...

    def expected(self, rows: Any) -> np.ndarray:
        """What the model itself makes of them."""
        ...

    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """What the model gives for a query's documents: float32 ``[documents]``."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What ``rankgrad.json`` says of this kind alone."""
        ...

    def write_files(self, folder: Path) -> None:
        """Write what only this kind has beside the graph, the configuration and the tokenizer."""
        ...


def ranker_of(reference: Ranker | Subject) -> TextRanker:
    """The model itself."""
    return reference if isinstance(reference, nn.Module) else reference.model
