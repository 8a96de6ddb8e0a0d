"""A cross-encoder read behind one of its earlier layers, as a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import TOKENS, pair_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.models import CrossEncoder
from rankgrad.models._folder import CONFIG, write_json
from rankgrad.models._pair_forward import padded_scores
from rankgrad.tokens import Tokens


class ExitSubject:
    """See :class:`rankgrad.export.subject.Subject`. Later layers are not in the graph.

    Raises:
        InputError: for a layer without a head.
    """

    kind = "cross_encoder"
    dim = 1

    def __init__(self, model: CrossEncoder, exit_layer: int) -> None:
        self.layer = model._exit(exit_layer)
        self.model = exportable(model)
        self.graph = _Graph(self.model, self.layer)
        inputs = ("input_ids", "attention_mask", "token_type_ids")
        self.axes: dict[str, Axes] = {**dict.fromkeys(inputs, TOKENS), "logits": ("batch", 1)}

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return pair_example(self.model)

    def probes(self) -> Iterator[Probe]:
        """Random pairs of tokens."""
        return token_probes(self.model)

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The logits of padded pairs."""
        fields = (rows.input_ids, rows.attention_mask, rows.token_type_ids)
        return self.graph(*(torch.from_numpy(field) for field in fields)).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """The scores behind that layer."""
        return self.model.score([query] * len(documents), documents, exit_layer=self.layer).numpy()

    def settings(self) -> dict[str, Any]:
        """Behind which layer the score is read, and how many there were."""
        return {"exit": {"layer": self.layer, "depth": self.model.encoder.depth}}

    def write_files(self, folder: Path) -> None:
        """Have the configuration count the layers that there are."""
        path = folder / CONFIG
        config = json.loads(path.read_text(encoding="utf-8"))
        kinds = {"layer_types": config["layer_types"][: self.layer]} if config.get("layer_types") else {}
        write_json(path, config | {"num_hidden_layers": self.layer} | kinds)


class _Graph(nn.Module):
    def __init__(self, model: CrossEncoder, layer: int) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return padded_scores(self.model, input_ids, attention_mask, token_type_ids, (self.layer,))[0].unsqueeze(-1)
