"""XTR: a document is scored by those of its tokens that a search over all tokens would have retrieved."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError


def xtr_scores(
    queries: Tensor,
    documents: Tensor,
    query_mask: Tensor | None = None,
    document_mask: Tensor | None = None,
    *,
    top_k: int,
    impute: bool = False,
) -> Tensor:
    r"""Score documents by the tokens that are among the ``top_k`` of all documents' tokens for a query token.

    With ``A_ij = 1`` where document token ``j`` is among the ``top_k`` tokens of the whole batch for query token ``i``:
    ``score(q, d) = 1/Z sum_i max_j A_ij <q_i, d_j>``. In training ``Z`` counts the query tokens that retrieved a token
    of ``d``, and where none was retrieved the maximum is 0. With ``impute`` it is the similarity of the last token
    retrieved, an upper bound of what was missed, and ``Z`` counts all real query tokens: the score at search time.

    The score of a document depends on the others. All similarities are held at once: ``queries * tokens`` numbers.

    Args:
        queries: token embeddings.
        documents: token embeddings.
        query_mask: True for real tokens; None = all.
        document_mask: True for real tokens; None = all.
        top_k: tokens retrieved for a query token; all where there are fewer.
        impute: score as a search does.

    Shape:
        - queries: ``[Q, Lq, D]``, documents: ``[N, Ld, D]``; masks bool without ``D``
        - returns: float32 ``[Q, N]``; 0 for a document that no query token retrieved, unless imputed; ``-inf`` for one
          without a real token

    Raises:
        InputError: for ``top_k`` below 1.

    Reference:
        Lee, Dai, Duddu, Lei, Naim, Chang, Zhao, "Rethinking the Role of Token Retrieval in Multi-Vector Retrieval",
        NeurIPS 2023.

    Example:
        >>> queries = torch.eye(2)[None]
        >>> documents = torch.tensor([[[0.9, 0.1]], [[0.8, 0.6]]])
        >>> xtr_scores(queries, documents, top_k=1)
        tensor([[0.9000, 0.6000]])
        >>> xtr_scores(queries, documents, top_k=1, impute=True)
        tensor([[0.7500, 0.7500]])
    """
    if top_k < 1:
        raise InputError(f"top_k={top_k}: at least one token must be retrieved for a query token")
    count, width = documents.shape[:2]
    similarities = torch.einsum("qid,njd->qinj", queries.float(), documents.float())
    real = torch.ones(documents.shape[:2], dtype=torch.bool, device=documents.device)
    real = real if document_mask is None else document_mask
    flat = similarities.flatten(2).masked_fill(~real.flatten(), -torch.inf)
    highest = flat.topk(min(top_k, count * width), dim=-1)
    retrieved = torch.zeros_like(flat, dtype=torch.bool).scatter(-1, highest.indices, True)
    retrieved = (retrieved & real.flatten()).unflatten(-1, (count, width))
    found = retrieved.any(-1)
    best = similarities.masked_fill(~retrieved, -torch.inf).amax(-1)
    if impute:
        last = highest.values.masked_fill(highest.values == -torch.inf, torch.inf).amin(-1, keepdim=True)
        last = last.masked_fill(last == torch.inf, 0.0)
        best, counted = torch.where(found, best, last.expand_as(best)), torch.ones_like(found)
    else:
        best, counted = best.masked_fill(~found, 0.0), found
    if query_mask is not None:
        best = best.masked_fill(~query_mask.unsqueeze(-1), 0.0)
        counted = counted & query_mask.unsqueeze(-1)
    scores = best.sum(1) / counted.sum(1).clamp(min=1)
    asked = scores.new_ones(len(queries), dtype=torch.bool) if query_mask is None else query_mask.any(1)
    return scores.masked_fill(asked.unsqueeze(1) & ~real.any(1), -torch.inf)
