"""A ColBERT with weights of query tokens as a bundle: the graph of token embeddings, and the weights as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.deploy.text_model import QUERY_WEIGHTS
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import TOKENS, as_tensors, token_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.models import ColBERT
from rankgrad.models._folder import write_json
from rankgrad.tokens import Tokens


class WeighedSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    Queries and documents go through the same graph; :class:`rankgrad.deploy.ColBERT` weighs what queries become.
    """

    kind = "colbert"

    def __init__(self, model: ColBERT) -> None:
        self.model = exportable(model)
        self.graph = _Graph(self.model)
        self.dim = self.model.dim
        self.axes: dict[str, Axes] = {
            "input_ids": TOKENS,
            "attention_mask": TOKENS,
            "contextual": (*TOKENS, self.dim),
        }

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return token_example(self.model)

    def probes(self) -> Iterator[Probe]:
        """Random tokens."""
        return token_probes(self.model)

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The embeddings, not weighed."""
        return self.model.encode(as_tensors(rows)).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """MaxSim, weighed."""
        return self.model.score([query], self.model.encode_documents(documents))[0].numpy()

    def settings(self) -> dict[str, Any]:
        """That there are weights."""
        return {"options": {"lookup": True}}

    def write_files(self, folder: Path) -> None:
        """Write the weights."""
        weights = self.model.query_weights
        assert weights is not None
        vocabulary = self.model.tokenizer.tokenizer.get_vocab()
        write_query_weights(folder, weights.table.tolist(), vocabulary)


def write_query_weights(folder: Path, weights: Sequence[float], vocabulary: Mapping[str, int]) -> None:
    """Write what a bundle maps words to weights by, in the order of the vocabulary."""
    places = sorted((place, word) for word, place in vocabulary.items() if place < len(weights))
    write_json(folder / QUERY_WEIGHTS, {word: weights[place] for place, word in places})


class _Graph(nn.Module):
    def __init__(self, model: ColBERT) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model.forward_tokens(input_ids, attention_mask)
