"""A dense encoder as a bundle: embeddings out, in a folder that sentence-transformers opens too."""

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
from rankgrad.export.token_inputs import TOKENS, as_tensors, token_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.models import DenseEncoder, dense_encoder_layout
from rankgrad.models._dense_modules import leading_coordinates
from rankgrad.models._folder import SETTINGS, write_json
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import Tokens

_LENGTHS = ("query_length", "document_length")


class DenseSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    The graph gives ``sentence_embedding``, with pooling, dense layers and normalisation inside, and
    ``last_hidden_state``, of which readers that pool themselves (sentence-transformers, Vespa) make the same.
    """

    kind = "dense_encoder"

    def __init__(self, model: DenseEncoder) -> None:
        self.model = exportable(model)
        self.graph = _Graph(self.model)
        self.dim = self.model.dim
        self.axes: dict[str, Axes] = {
            "input_ids": TOKENS,
            "attention_mask": TOKENS,
            "sentence_embedding": ("batch", self.dim),
            "last_hidden_state": (*TOKENS, self.model.encoder.hidden_size),
        }

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return token_example(self.model)

    def probes(self) -> Iterator[Probe]:
        """Random tokens."""
        return token_probes(self.model)

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The embeddings."""
        return self.model.encode(as_tensors(rows)).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """The similarities."""
        return self.model.score([query], self.model.encode_documents(documents))[0].numpy()

    def settings(self) -> dict[str, Any]:
        """How embeddings are compared."""
        model = self.model
        return {"options": {"similarity": model.similarity, "normalize": model.normalize, "scale": model.scale}}

    def write_files(self, folder: Path) -> None:
        """Write sentence-transformers' list of modules, and those behind the encoder."""
        model = self.model
        layers = [layer for layer in model.layers if isinstance(layer, ProjectionLayer)]
        if model.truncate_dim is not None:
            # The library has no place for a width; a layer that takes the leading coordinates says the same.
            layers.append(leading_coordinates(model.full_dim, model.truncate_dim))
        dense_encoder_layout.write(
            folder,
            model.rules,
            layers,
            hidden_size=model.encoder.hidden_size,
            pooling=model.pooling,
            normalize=model.normalize,
            similarity=model.similarity,
            extras={},
        )
        (folder / SETTINGS).unlink()
        _for_older_readers(folder)


def _for_older_readers(folder: Path) -> None:
    """Leave out what sentence-transformers 5, the version that runs ONNX graphs, opens no folder with.

    It knows one length for both sides, the longer one here, and no residual.
    """
    path = folder / "sentence_bert_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {name: value for name, value in config.items() if name not in _LENGTHS})
    for path in folder.glob("*_Dense/config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        if not config.get("use_residual"):
            config.pop("use_residual", None)
        write_json(path, config)


class _Graph(nn.Module):
    def __init__(self, model: DenseEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        model = self.model
        hidden = model.encoder(input_ids, attention_mask, torch.zeros_like(input_ids))
        return model.pooled(hidden, attention_mask), hidden
