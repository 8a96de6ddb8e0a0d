"""Late interaction in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TOKENS_A_CHUNK = 8192


class PackedTokens(NamedTuple):
    """Token embeddings of several documents end to end, without padding.

    Shape:
        embeddings: float32 ``[total_tokens, dim]``.
        cu_seqlens: int32 ``[documents + 1]``; document i owns rows ``cu_seqlens[i]:cu_seqlens[i + 1]``.
    """

    embeddings: np.ndarray
    cu_seqlens: np.ndarray


def maxsim(query: np.ndarray, documents: PackedTokens, query_mask: np.ndarray | None = None) -> np.ndarray:
    """Sum over the query's tokens of the highest similarity to one of the document's tokens.

    Args:
        query: one query's token embeddings.
        documents: any number of documents.
        query_mask: True = a real token; None = all are.

    Shape:
        - query: ``[query_tokens, dim]``; query_mask: bool ``[query_tokens]``
        - returns: float32 ``[documents]``; ``-inf`` for a document without tokens

    Reference:
        Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
        BERT", SIGIR 2020.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> maxsim(eye[:2], PackedTokens(eye, np.array([0, 2, 3, 3]))).tolist()
        [2.0, 0.0, -inf]
    """
    if query_mask is not None:
        query = query[query_mask]
    starts = documents.cu_seqlens[:-1].astype(np.int64)
    scores = np.full(len(starts), -np.inf, dtype=np.float32)
    filled = np.flatnonzero(np.diff(documents.cu_seqlens))
    for chunk in _chunks(documents.cu_seqlens, filled):
        first, last = starts[chunk[0]], int(documents.cu_seqlens[chunk[-1] + 1])
        similarity = documents.embeddings[first:last] @ query.T
        scores[chunk] = np.maximum.reduceat(similarity, starts[chunk] - first, axis=0).sum(axis=1)
    return scores


def _chunks(cu_seqlens: np.ndarray, filled: np.ndarray) -> list[np.ndarray]:
    """Runs of documents, each of about ``TOKENS_A_CHUNK`` tokens, so that the similarities stay in the cache."""
    if len(filled) == 0:
        return []
    chunk_of = cu_seqlens[filled].astype(np.int64) // TOKENS_A_CHUNK
    return np.split(filled, np.flatnonzero(np.diff(chunk_of)) + 1)
