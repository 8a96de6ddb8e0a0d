"""A ColBERT as one graph: tokens of queries and of candidates in, scores out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad.deploy.colbert_reranker import QueriesAndDocuments
from rankgrad.export.late_encoders import DocumentEncoder, QueryEncoder
from rankgrad.export.probe import Shape, random_tokens
from rankgrad.export.reference import exportable
from rankgrad.export.subject import Probe
from rankgrad.export.token_inputs import as_tensors, token_example
from rankgrad.export.trace import Axes
from rankgrad.models import ColBERT
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
    def __init__(self, model: ColBERT) -> None:
        super().__init__()
        self.queries = QueryEncoder(model)
        self.documents = DocumentEncoder(model)
        self.expanded = self.queries.expanded

    def forward(
        self,
        query_input_ids: Tensor,
        query_attention_mask: Tensor,
        document_input_ids: Tensor,
        document_attention_mask: Tensor,
    ) -> Tensor:
        queries, asked = self.queries.encode(query_input_ids, query_attention_mask)
        documents, scored = self.documents.encode(document_input_ids, document_attention_mask)
        return maxsim(queries, documents, asked, scored)
