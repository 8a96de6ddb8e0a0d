"""The parts of a pipeline's rerank half as modules of tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad.export.cascade_graph import with_tail
from rankgrad.fuse import Aligned
from rankgrad.models import CrossEncoder
from rankgrad.ops._order import stable_order


class OneList(nn.Module):
    """No fusion: what the one list says."""

    def contributions(self, aligned: Aligned) -> Tensor:
        return aligned.scores


class RerankTokens(nn.Module):
    """A :class:`rankgrad.rerank.CrossEncoderReranker` on tokens, without a slice whose width depends on the data.

    Lists are filled up by ``k`` masked places, so that the cross-encoder reads just ``k`` pairs of every query.

    Args:
        scorer: its model.
        k: pairs that are read.
        limit: documents that stay.
        weight: of the fused score.

    Shape:
        three tensors of tokens ``[queries, documents, tokens]``, fused scores ``[queries, documents]``, ``-inf`` where
        there is no document -> ``[queries, documents]``
    """

    def __init__(self, scorer: CrossEncoder, *, k: int, limit: int, weight: float) -> None:
        super().__init__()
        self.scorer, self.k, self.limit, self.weight = scorer, k, limit, weight

    def forward(self, tokens: tuple[Tensor, ...], fused: Tensor) -> Tensor:
        documents = fused.shape[1]
        order = pad(stable_order(fused, descending=True), (0, self.k))
        count = (fused > -torch.inf).sum(dim=1, keepdim=True).clamp(max=self.limit)
        real = torch.arange(documents + self.k, device=fused.device) < count
        head, kept = order[:, : self.k], real[:, : self.k]
        places = head.unsqueeze(-1).expand(-1, -1, tokens[0].shape[2])
        rows = [each.gather(1, places).flatten(0, 1) for each in tokens]
        found = self.scorer.forward_tokens(*rows).view(-1, self.k)
        if self.weight:
            found = found + self.weight * fused.gather(1, head).masked_fill(~kept, 0.0)
        joined = with_tail(found, kept, real)
        return torch.full_like(fused, -torch.inf).scatter(1, order[:, :documents], joined[:, :documents])


class FromRanks(nn.Module):
    """Tokens and ranks in, final scores out."""

    def __init__(self, fused: nn.Module, rerank: nn.Module) -> None:
        super().__init__()
        self.fused, self.rerank = fused, rerank

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, ranks: Tensor) -> Tensor:
        return self.rerank((input_ids, attention_mask, token_type_ids), self.fused(ranks))


class FromScores(nn.Module):
    """Tokens and scores in, final scores out."""

    def __init__(self, fused: nn.Module, rerank: nn.Module) -> None:
        super().__init__()
        self.fused, self.rerank = fused, rerank

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, scores: Tensor, present: Tensor
    ) -> Tensor:
        return self.rerank((input_ids, attention_mask, token_type_ids), self.fused(scores, present))
