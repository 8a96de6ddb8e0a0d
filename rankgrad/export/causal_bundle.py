"""A causal reranker as a bundle: prompts in, one score out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.export.probe import padded_left
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import TOKENS, as_tensors, token_example, token_probes
from rankgrad.export.trace import Axes
from rankgrad.models import CausalReranker, _causal_backbone, _layer_heads
from rankgrad.modules.pooling import pool_states
from rankgrad.tokens import Tokens, padded_tokens


class CausalSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    The graph reads the last real token of each row, whichever side the padding is on: positions are counted from the
    first real token. Of the vocabulary's logits only those of the answers are in it.
    """

    kind = "causal_reranker"
    dim = 1

    def __init__(self, model: CausalReranker) -> None:
        self.model = exportable(model)
        if model.lora is not None:
            _merge(self.model.backbone)
        self.graph = _Graph(self.model)
        self.axes: dict[str, Axes] = {"input_ids": TOKENS, "attention_mask": TOKENS, "logits": ("batch", 1)}

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with."""
        return token_example(self.model)

    def probes(self) -> Iterator[Probe]:
        """Random tokens, padded on the right and on the left."""
        for probe in token_probes(self.model):
            yield probe
            if probe.shape.padding:
                yield Probe(probe.shape, padded_left(probe.rows))

    @torch.inference_mode()
    def expected(self, rows: Tokens) -> np.ndarray:
        """The scores of the rows, padded on the right."""
        real = rows.attention_mask.astype(bool)
        ids = [row[kept].tolist() for row, kept in zip(rows.input_ids, real, strict=True)]
        tokens = padded_tokens(ids, pad_id=self.model.tokenizer.pad_id)
        return self.model.logits(as_tensors(tokens)).unsqueeze(-1).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """The scores."""
        return self.model.score([query] * len(documents), documents).numpy()

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def write_files(self, folder: Path) -> None:
        """Write nothing."""


class _Graph(nn.Module):
    def __init__(self, model: CausalReranker) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        backbone: Any = self.model.backbone
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        states = _causal_backbone.decoder_of(backbone)(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        last = pool_states(states, attention_mask, method="last")
        if self.model.answers is not None:
            return _causal_backbone.answer_scores(backbone, last, self.model.answers).unsqueeze(-1)
        return _layer_heads.capped(backbone, backbone.score(last))


def _merge(backbone: nn.Module) -> None:
    """Add low-rank updates to the weights they stand beside, so that the graph has one multiplication a layer."""
    for part in list(backbone.modules()):
        merge = getattr(part, "merge", None)
        if merge is not None and hasattr(part, "base_layer"):
            merge()
