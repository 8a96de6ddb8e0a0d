"""The types that cross a layer: what a stage takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, get_args

if TYPE_CHECKING:
    from torch import Tensor

Queries: TypeAlias = Sequence[str]
"""A batch of query texts. Text becomes tokens inside the stage that owns a tokenizer."""

Variant: TypeAlias = Literal["fp32", "int8", "int8-static", "fp16", "optimized", "int4"]
"""A graph of an exported bundle: the plain one, or one made of it."""

VARIANTS: tuple[Variant, ...] = get_args(Variant)


class Ranking(NamedTuple):
    """Documents in order for a batch of queries; what every stage takes and gives.

    Shape:
        ids: int64 ``[queries, k]``, row numbers in the collection the stages were built on; -1 where ``mask`` is False.
        scores: float32 ``[queries, k]``, higher is better, in descending order; ``-inf`` where ``mask`` is False.
        mask: bool ``[queries, k]``, True = a real document.
    """

    ids: Tensor
    scores: Tensor
    mask: Tensor


class Retriever(Protocol):
    """A first stage: from queries alone to a ranking of ``k`` documents."""

    def __call__(self, queries: Queries, k: int) -> Ranking: ...


class Reranker(Protocol):
    """A later stage: reorders a ranking."""

    def __call__(self, queries: Queries, ranking: Ranking) -> Ranking: ...


class Fusion(Protocol):
    """Makes one ranking of several."""

    def __call__(self, rankings: Sequence[Ranking]) -> Ranking: ...


class PackedTokens(NamedTuple):
    """Token embeddings of several documents end to end, without padding.

    Shape:
        embeddings: ``[total_tokens, dim]``.
        cu_seqlens: int32 ``[documents + 1]``; document i owns rows ``cu_seqlens[i]:cu_seqlens[i + 1]``.
    """

    embeddings: Tensor
    cu_seqlens: Tensor
