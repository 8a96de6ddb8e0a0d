"""What encoders give, as Qdrant takes it: dense, sparse and multi-vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.types import PackedTokens


class VectorTextEncoder(Protocol):
    """A dense, a sparse or a late-interaction encoder, told apart by what it gives."""

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """``[queries, dim]``, :class:`rankgrad.modules.sparse_rows.SparseRows`, or token embeddings and their mask."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Any:
        """``[documents, dim]``, ``SparseRows``, or :class:`rankgrad.types.PackedTokens`."""
        ...


def is_sparse(vectors: Any) -> bool:
    """Do these belong in a sparse index?"""
    return isinstance(vectors, SparseRows)


def width(vectors: Any) -> int:
    """Coordinates of a dense vector."""
    return (vectors.embeddings if isinstance(vectors, PackedTokens) else vectors).shape[1]


def settings(vectors: Any, models: Any) -> Any:
    """The configuration of the vectors' place in a collection."""
    if is_sparse(vectors):
        return models.SparseVectorParams()
    late = isinstance(vectors, PackedTokens)
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM) if late else None
    return models.VectorParams(size=width(vectors), distance=models.Distance.DOT, multivector_config=multi)


def document_vectors(vectors: Any, name: str, models: Any) -> list[Any]:
    """One value a document; None for one that has no token, which is then not found by this vector.

    Raises:
        InputError: for values that are not finite.
    """
    if isinstance(vectors, SparseRows):
        _check_finite(vectors.values, name)
        return _sparse(vectors, models)
    if isinstance(vectors, PackedTokens):
        _check_finite(vectors.embeddings, name)
        rows = vectors.embeddings.float().split(vectors.cu_seqlens.diff().tolist())
        return [row.tolist() or None for row in rows]
    vectors = torch.as_tensor(vectors)
    if vectors.dim() != 2:
        raise InputError(f"{name}: expected [documents, dim], sparse rows or packed tokens, got {list(vectors.shape)}")
    _check_finite(vectors, name)
    return vectors.float().tolist()


def query_vectors(vectors: Any, name: str, models: Any) -> list[Any]:
    """One value a query.

    Raises:
        InputError: for values that are not finite.
    """
    if not isinstance(vectors, tuple) or isinstance(vectors, SparseRows):
        return document_vectors(vectors, name, models)
    embeddings, mask = vectors
    _check_finite(embeddings[mask], name)
    # A query without a token scores 0 everywhere, as a vector of zeros does.
    return [row[real].tolist() or [[0.0] * row.shape[1]] for row, real in zip(embeddings.float(), mask, strict=True)]


def _sparse(rows: SparseRows, models: Any) -> list[Any]:
    pairs = zip(*rows.split(), strict=True)
    return [models.SparseVector(indices=indices.tolist(), values=values.tolist()) for indices, values in pairs]


def _check_finite(values: Tensor, name: str) -> None:
    if not values.isfinite().all():
        raise InputError(f"{name}: the encoder gave NaN or infinity; an empty text whose mean was taken?")
