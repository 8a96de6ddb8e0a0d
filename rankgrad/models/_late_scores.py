"""How a ColBERT in training compares: soft or hard MaxSim or XTR, at one width or several, with tokens that may go."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from rankgrad.models._equal_calls import call_each
from rankgrad.modules.token_pruner import TokenPruner
from rankgrad.modules.xtr import xtr_scores
from rankgrad.ops import maxsim


def training_scores(
    queries: Tensor,
    query_mask: Tensor,
    groups: Sequence[tuple[Tensor, Tensor]],
    *,
    widths: Sequence[int],
    temperature: float | None,
    xtr_top_k: int | None,
    pruner: TokenPruner | None,
) -> Tensor:
    """Scores of every query with the documents of every group of (embeddings, mask).

    Args:
        widths: leading coordinates to score by, each renormalised; none = all of them, as they are.
        temperature: softness of MaxSim's maximum; None = hard.
        xtr_top_k: score as XTR does instead, which looks at the documents of all groups together.
        pruner: lowers the similarities of tokens that it would drop.

    Returns:
        Float32 ``[queries, documents]``, or, with widths, ``[widths, queries, documents]``.
    """
    columns = []
    if xtr_top_k is not None:
        groups = [_as_one(groups)]
    every = [None] * len(groups) if pruner is None else call_each(pruner, pruner, [each for each, _ in groups])
    for (documents, document_mask), logits in zip(groups, every, strict=True):
        if pruner is not None and logits is not None:
            pruner.remember(logits, document_mask)
        tables = []
        for width in widths or (None,):
            left, right = _leading(queries, width), _leading(documents, width)
            if pruner is not None and logits is not None:
                left, right = pruner.lower(left, right, logits)
            if xtr_top_k is None:
                tables.append(maxsim(left, right, query_mask, document_mask, temperature=temperature))
            else:
                tables.append(xtr_scores(left, right, query_mask, document_mask, top_k=xtr_top_k))
        columns.append(torch.stack(tables) if widths else tables[0])
    return torch.cat(columns, dim=-1)


def _leading(embeddings: Tensor, width: int | None) -> Tensor:
    return embeddings if width is None else normalize(embeddings[..., :width], dim=-1)


def _as_one(groups: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Groups of documents as one, each row padded to the longest."""
    width = max(mask.shape[1] for _, mask in groups)
    embeddings = [pad(rows, (0, 0, 0, width - rows.shape[1])) for rows, _ in groups]
    return torch.cat(embeddings), torch.cat([pad(mask, (0, width - mask.shape[1])) for _, mask in groups])
