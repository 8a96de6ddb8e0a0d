"""A ColBERT's two sides as they go into graphs: expansion, skipped tokens, weights and pruning inside."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.models import ColBERT
from rankgrad.models._late_weights import weighed
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.ops import maxsim


class QueryEncoder(nn.Module):
    """Tokens of queries in; their embeddings, zero where they are not scored, and which are scored out.

    Args:
        model: what encodes.

    Attributes:
        expanded: the columns up to which padding is filled with mask tokens; 0 where the rules do not expand.

    Shape:
        - input_ids, attention_mask: int64 ``[queries, tokens]``, at least ``expanded`` columns
        - returns: float32 ``[queries, tokens, dim]``, bool ``[queries, tokens]``
    """

    def __init__(self, model: ColBERT) -> None:
        super().__init__()
        self.model = model
        rules = model.rules
        self.expanded = (rules.expansion_length or rules.query_length) if rules.query_expansion else 0

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same with anything in the embeddings that are not scored."""
        model, scored = self.model, attention_mask.bool()
        if self.expanded:
            fill = ~scored & (torch.arange(scored.shape[1], device=scored.device) < self.expanded)
            input_ids = input_ids.masked_fill(fill, model.tokenizer.mask_id)
            if model.rules.attend_to_expansion:
                attention_mask = attention_mask.masked_fill(fill, 1)
            scored = scored | fill
        return weighed(model.query_weights, model.forward_tokens(input_ids, attention_mask), input_ids), scored

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        return _zeroed(*self.encode(input_ids, attention_mask))


class DocumentEncoder(nn.Module):
    """Tokens of documents in; their embeddings, zero where they are not scored, and which are scored out.

    Args:
        model: what encodes; of one that prunes, what it drops is not scored.

    Shape:
        - input_ids, attention_mask: int64 ``[documents, tokens]``, padding anywhere
        - returns: float32 ``[documents, tokens, dim]``, bool ``[documents, tokens]``
    """

    skip_ids: Tensor

    def __init__(self, model: ColBERT) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("skip_ids", torch.from_numpy(model.tokenizer.skip_ids))

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same with anything in the embeddings that are not scored."""
        embeddings = self.model.forward_tokens(input_ids, attention_mask)
        scored = attention_mask.bool()
        # Of no values the graph's "any" is true.
        if len(self.skip_ids):
            scored = scored & ~torch.eq(input_ids.unsqueeze(-1), self.skip_ids).any(-1)
        if self.model.pruner is not None:
            scored = _kept(self.model.pruner, embeddings, scored)
        return embeddings, scored

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        return _zeroed(*self.encode(input_ids, attention_mask))


class MaxSimScorer(nn.Module):
    """:func:`rankgrad.ops.maxsim` of padded embeddings, with the names that the graphs of the encoders give them."""

    def forward(
        self, query_embeddings: Tensor, query_scored: Tensor, document_embeddings: Tensor, document_scored: Tensor
    ) -> Tensor:
        return maxsim(query_embeddings, document_embeddings, query_scored, document_scored)


def _zeroed(embeddings: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    return embeddings.masked_fill(~scored.unsqueeze(-1), 0.0), scored


def _kept(pruner: TokenPruner, embeddings: Tensor, mask: Tensor) -> Tensor:
    """:meth:`rankgrad.modules.TokenPruner.kept` with each token's place counted: ONNX has no stable sort."""
    logits = pruner(embeddings).masked_fill(~mask, -torch.inf)
    mine, others = logits.unsqueeze(-1), logits.unsqueeze(-2)
    places = torch.arange(logits.shape[-1], device=logits.device)
    ahead = (others > mine) | ((others == mine) & (places < places.unsqueeze(-1)))
    wanted = (mask.sum(-1, keepdim=True) * pruner.share - 1e-4).ceil()
    return mask & (ahead.sum(-1) < wanted)
