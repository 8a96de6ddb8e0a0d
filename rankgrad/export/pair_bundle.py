"""A listwise or compressing cross-encoder as a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankgrad.export.exit_bundle import ExitSubject
from rankgrad.export.pair_graph import PairGraph, packed_logits
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import TOKENS, as_tensors, pair_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.models import CrossEncoder
from rankgrad.tokens import Tokens


class PairSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    The model itself reads packed batches, its graph padded ones: they are two ways to the same scores, and compared.

    Args:
        model: a listwise or compressing one.
        exit_layer: score behind so many layers; None = all.

    Raises:
        InputError: for a layer without a head.
    """

    kind = "cross_encoder"
    dim = 1

    def __init__(self, model: CrossEncoder, exit_layer: int | None = None) -> None:
        self.exit = None if exit_layer is None else ExitSubject(model, exit_layer)
        self.model = exportable(model) if self.exit is None else self.exit.model
        self.layer = self.model._exit(exit_layer)
        self.graph = PairGraph(self.model, self.layer)
        inputs = ("input_ids", "attention_mask", "token_type_ids")
        self.axes: dict[str, Axes] = {**dict.fromkeys(inputs, TOKENS), "logits": ("batch", 1)}

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with: words, so that some are merged."""
        inputs = pair_example(self.model)
        return inputs | {"input_ids": torch.full_like(inputs["input_ids"], self._word())}

    def probes(self) -> Iterator[Probe]:
        """Random pairs of tokens; of a listwise model each batch is one list."""
        return token_probes(self.model)

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The logits of the rows, packed."""
        return packed_logits(self.model, as_tensors(rows), self.layer).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """The model's own scores."""
        return self.model.score([query] * len(documents), documents, exit_layer=self.layer).numpy()

    def settings(self) -> dict[str, Any]:
        """Whether a list must stay together, and what happens to documents on the way."""
        found: dict[str, Any] = {} if self.exit is None else self.exit.settings()
        options = self.model.options
        if options.listwise:
            found["options"] = {"listwise": True}
        if options.merge is not None:
            found["compress"] = {"layer": options.merge[0], "ratio": options.merge[1]}
        return found

    def write_files(self, folder: Path) -> None:
        """Have the configuration count the layers that there are."""
        if self.exit is not None:
            self.exit.write_files(folder)

    def _word(self) -> int:
        """The first id that is no special token."""
        special = set(self.model.special_ids.tolist())
        return next(number for number in range(len(special) + 1) if number not in special)
