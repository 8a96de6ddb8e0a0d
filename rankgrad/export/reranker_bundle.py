"""A ColBERT as one graph: tokens of queries and of candidates in, scores out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.deploy.colbert_reranker import QueriesAndDocuments
from rankgrad.export.probe import Shape, random_tokens
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import as_tensors, token_example
from rankgrad.export.trace import Axes
from rankgrad.models import ColBERT
from rankgrad.models._late_weights import weighed
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.ops import maxsim
from rankgrad.tokens import Tokens

QUERIES, DOCUMENTS = ("queries", "query_tokens"), ("documents", "document_tokens")


class RerankerSubject:
    """See :class:`rankgrad.export.subject.Subject`.

    Query expansion, the tokens that are not scored, weights of query tokens, learned pruning, both encodings and MaxSim
    are inside.
    """

    kind = "colbert_reranker"
    dim = 1

    def __init__(self, model: ColBERT) -> None:
        self.model = exportable(model)
        self.graph = _Graph(self.model)
        self.axes: dict[str, Axes] = {
            "query_input_ids": QUERIES,
            "query_attention_mask": QUERIES,
            "document_input_ids": DOCUMENTS,
            "document_attention_mask": DOCUMENTS,
            "scores": ("queries", "documents"),
        }

    def example(self) -> dict[str, Tensor]:
        """Inputs to trace with: all four sizes differ."""
        ids, mask = token_example(self.model).values()
        width = self.graph.expanded + 3
        longer = torch.full((3, width), self.model.tokenizer.pad_id)
        attended = torch.ones_like(longer)
        attended[1:, 5:] = 0
        return dict(zip(QueriesAndDocuments._fields, (longer, attended, ids, mask), strict=True))

    def probes(self) -> Iterator[Probe]:
        """Random queries, filled up with padding only, and documents some of which are nothing but skipped tokens."""
        tokenizer, rules = self.model.tokenizer, self.model.rules
        narrow = max(self.graph.expanded, min(6, rules.query_length))
        longest = rules.document_length
        for queries, documents in (
            (Shape(1, narrow), Shape(1, min(3, longest))),
            (Shape(1, narrow), Shape(17, min(40, longest), padding=min(33, longest - 1))),
            (Shape(3, narrow, padding=narrow - 3), Shape(5, min(13, longest))),
            (Shape(2, narrow + 7, padding=narrow), Shape(4, min(64, longest), padding=min(9, longest - 1))),
            (Shape(2, narrow, padding=2), Shape(2, longest, padding=longest - 4)),
        ):
            candidates = random_tokens(tokenizer, documents, seed=documents.batch)
            if documents.batch > 1 and len(tokenizer.skip_ids):
                candidates.input_ids[-1] = tokenizer.skip_ids[0]
            asked = random_tokens(tokenizer, queries, seed=queries.tokens)
            shape = Shape(documents.batch, documents.tokens, documents.padding)
            yield Probe(shape, QueriesAndDocuments.of(asked, candidates))

    @torch.inference_mode()
    def expected(self, rows: QueriesAndDocuments) -> np.ndarray:
        """What the model's own encodings give."""
        tokenizer, rules = self.model.tokenizer, self.model.rules
        asked = rows.query_attention_mask.astype(bool)
        fill = ~asked & (np.arange(asked.shape[1]) < self.graph.expanded)
        queries = Tokens(
            np.where(fill, tokenizer.mask_id, rows.query_input_ids),
            (asked | (fill & rules.attend_to_expansion)).astype(np.int64),
            np.zeros_like(rows.query_input_ids),
            asked | fill,
        )
        scored = rows.document_attention_mask.astype(bool) & ~np.isin(rows.document_input_ids, tokenizer.skip_ids)
        documents = Tokens(rows.document_input_ids, rows.document_attention_mask, np.zeros_like(scored, int), scored)
        tokens, candidates = as_tensors(queries), as_tensors(documents)
        groups = [(self.model.embed_documents(candidates), candidates.scored)]
        return self.model.compare(self.model.embed_queries(tokens), tokens.scored, groups).numpy()

    @torch.inference_mode()
    def scores(self, query: str, documents: Sequence[str]) -> np.ndarray:
        """MaxSim with the encoded documents."""
        return self.model.score([query], self.model.encode_documents(documents))[0].numpy()

    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def write_files(self, folder: Path) -> None:
        """Write nothing."""


class _Graph(nn.Module):
    skip_ids: Tensor

    def __init__(self, model: ColBERT) -> None:
        super().__init__()
        self.model = model
        rules = model.rules
        self.expanded = (rules.expansion_length or rules.query_length) if rules.query_expansion else 0
        self.register_buffer("skip_ids", torch.from_numpy(model.tokenizer.skip_ids))

    def forward(
        self,
        query_input_ids: Tensor,
        query_attention_mask: Tensor,
        document_input_ids: Tensor,
        document_attention_mask: Tensor,
    ) -> Tensor:
        model, asked = self.model, query_attention_mask.bool()
        if self.expanded:
            fill = ~asked & (torch.arange(asked.shape[1], device=asked.device) < self.expanded)
            query_input_ids = query_input_ids.masked_fill(fill, model.tokenizer.mask_id)
            if model.rules.attend_to_expansion:
                query_attention_mask = query_attention_mask.masked_fill(fill, 1)
            asked = asked | fill
        queries = model.forward_tokens(query_input_ids, query_attention_mask)
        queries = weighed(model.query_weights, queries, query_input_ids)
        documents = model.forward_tokens(document_input_ids, document_attention_mask)
        skipped = torch.eq(document_input_ids.unsqueeze(-1), self.skip_ids).any(-1)
        scored = document_attention_mask.bool() & ~skipped
        if model.pruner is not None:
            scored = _kept(model.pruner, documents, scored)
        return maxsim(queries, documents, asked, scored)


def _kept(pruner: TokenPruner, embeddings: Tensor, mask: Tensor) -> Tensor:
    """:meth:`rankgrad.modules.TokenPruner.kept` with each token's place counted: ONNX has no stable sort."""
    logits = pruner(embeddings).masked_fill(~mask, -torch.inf)
    mine, others = logits.unsqueeze(-1), logits.unsqueeze(-2)
    places = torch.arange(logits.shape[-1], device=logits.device)
    ahead = (others > mine) | ((others == mine) & (places < places.unsqueeze(-1)))
    wanted = (mask.sum(-1, keepdim=True) * pruner.share - 1e-4).ceil()
    return mask & (ahead.sum(-1) < wanted)
