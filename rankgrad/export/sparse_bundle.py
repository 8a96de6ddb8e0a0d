"""A sparse encoder (SPLADE) as a bundle: weights of the vocabulary out, and a table of query weights as a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.data.collate import TextTokens
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import TOKENS, as_tensors, token_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.export.weighed_bundle import write_query_weights
from rankgrad.models import SparseEncoder
from rankgrad.tokens import Tokens


class SparseSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    The graph gives ``weights`` of the vocabulary, all of them: keeping the largest is left to the reader, who may want
    another number for queries than for documents. Looked-up queries need no graph: their table is ``idf.json``, which
    maps tokens to weights as OpenSearch's does.
    """

    kind = "sparse_encoder"

    def __init__(self, model: SparseEncoder) -> None:
        self.model = exportable(model)
        self.graph = _Graph(self.model)
        self.dim = self.model.width
        self.axes: dict[str, Axes] = {
            "input_ids": TOKENS,
            "attention_mask": TOKENS,
            "weights": ("batch", self.dim),
        }

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return token_example(self.model)

    def probes(self) -> Iterator[Probe]:
        """Random tokens."""
        return token_probes(self.model)

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The weights."""
        return self.model.encode(as_tensors(rows)).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """The dot products."""
        return self.model.score([query], self.model.encode_documents(documents))[0].numpy()

    def settings(self) -> dict[str, Any]:
        """How queries are encoded, and how many terms are kept."""
        kept = {f"{side}_top_k": k for side, k in self.model.top_k.items()}
        return {"options": {"lookup": self.model.queries == "lookup", **kept}}

    def write_files(self, folder: Path) -> None:
        """Write the table of query weights; special tokens have none."""
        table = self.model.term_weights
        if table is None:
            return
        vocabulary = self.model.tokenizer.tokenizer.get_vocab()
        special = set(self.model.special_ids.tolist())
        words = {word: place for word, place in vocabulary.items() if place not in special}
        write_query_weights(folder, table.detach().tolist(), words)


class _Graph(nn.Module):
    def __init__(self, model: SparseEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        unread = torch.zeros_like(input_ids)
        return self.model.encode(TextTokens(input_ids, attention_mask, unread, unread.bool()))
