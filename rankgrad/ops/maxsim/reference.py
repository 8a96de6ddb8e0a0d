"""MaxSim's token maxima by definition. They are the specification, the export path and the oracle."""

from __future__ import annotations

import torch
from torch import Tensor

NO_TOKEN = float("-inf")


def token_maxima(queries: Tensor, documents: Tensor, document_mask: Tensor | None) -> Tensor:
    """For every query token and document, the highest dot product with a real token of the document.

    The lowest index takes the gradient among equal maxima. What masked tokens hold is never read, NaN included.

    Args:
        queries: query token embeddings.
        documents: document token embeddings, shared by all queries or candidates of each.
        document_mask: True = a real token.

    Shape:
        queries ``[Q, Lq, D]``, documents ``[N, Ld, D]`` or ``[Q, N, Ld, D]``, document_mask like documents without
        ``D``.

    Returns:
        ``[Q, Lq, N]``; ``-inf`` for a document without a real token.
    """
    if document_mask is not None:
        documents = documents.masked_fill(~document_mask.unsqueeze(-1), 0.0)
    equation = "qtd,nsd->qtns" if documents.dim() == 3 else "qtd,qnsd->qtns"
    similarities = torch.einsum(equation, queries, documents)
    if similarities.shape[-1] == 0:
        return similarities.sum(dim=-1).fill_(NO_TOKEN)
    if document_mask is not None:
        excluded = ~(document_mask if document_mask.dim() == 3 else document_mask.unsqueeze(0))
        similarities = similarities.masked_fill(excluded.unsqueeze(1), NO_TOKEN)
    return similarities.max(dim=-1).values


def packed_token_maxima(queries: Tensor, documents: Tensor, cu_seqlens: Tensor) -> Tensor:
    """Token maxima against documents that lie end to end. Equal maxima share the gradient.

    Shape:
        queries ``[Q, Lq, D]``, documents ``[total, D]``, cu_seqlens ``[N + 1]``; returns ``[Q, Lq, N]``.
    """
    similarities = queries @ documents.T
    rows = torch.arange(documents.shape[0], device=documents.device, dtype=cu_seqlens.dtype)
    owners = torch.searchsorted(cu_seqlens[1:].contiguous(), rows, right=True).expand(similarities.shape)
    empty = similarities.new_full((*queries.shape[:2], cu_seqlens.shape[0] - 1), NO_TOKEN)
    return empty.scatter_reduce(-1, owners, similarities, "amax", include_self=True)
