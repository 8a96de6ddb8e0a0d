"""MaxSim in two steps: many candidates by the first coordinates of each token, the best of them by all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.ops import maxsim
from rankgrad.rerank._gather import gather_packed
from rankgrad.rerank._splice import check_ranking, plus_incoming, splice
from rankgrad.rerank.late_interaction import LateInteractionReranker
from rankgrad.types import PackedTokens, Queries, Ranking


class OneVectorEncoder(Protocol):
    """What :class:`OneVectorTokens` needs of a dense encoder, such as :class:`rankgrad.models.DenseEncoder`."""

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """``[queries, dim]``."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Any:
        """``[documents, dim]``."""
        ...


class OneVectorTokens(nn.Module):
    """A dense encoder as a late-interaction encoder: every text has one token. MaxSim is then the dot product.

    Example:
        >>> class Lengths:
        ...     def encode_queries(self, texts):
        ...         return torch.tensor([[float(len(text)), 1.0] for text in texts])
        ...     encode_documents = encode_queries
        >>> OneVectorTokens(Lengths()).encode_documents(["a", "bc"]).cu_seqlens.tolist()
        [0, 1, 2]
    """

    def __init__(self, encoder: OneVectorEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        if isinstance(encoder, nn.Module):
            self.training = encoder.training

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Embeddings ``[queries, 1, dim]`` and a mask ``[queries, 1]`` of True."""
        vectors = torch.as_tensor(self.encoder.encode_queries(texts))
        return vectors[:, None], torch.ones(len(vectors), 1, dtype=torch.bool, device=vectors.device)

    def encode_documents(self, texts: Sequence[str]) -> PackedTokens:
        """Embeddings ``[documents, dim]`` and ``cu_seqlens``."""
        vectors = torch.as_tensor(self.encoder.encode_documents(texts))
        return PackedTokens(vectors, torch.arange(len(vectors) + 1, dtype=torch.int32, device=vectors.device))


class MatryoshkaTailReranker(nn.Module):
    """Score the first ``k`` documents by the first ``width`` coordinates, and the best ``refine`` again by all.

    For embeddings trained to be cut (``matryoshka_dims`` of :class:`rankgrad.models.ColBERT` and
    :class:`rankgrad.models.DenseEncoder`). The leading coordinates are brought to length 1 again. The ``refine`` best
    stand first with their exact MaxSim scores; the others follow in the order of the leading coordinates. With
    ``refine`` = ``k`` the ranking is that of the stage inside, and it is its top wherever its top is among the
    ``refine`` best.

    The stage runs without gradients.

    Args:
        stage: the index and its encoder; its ``k`` and ``first_stage_weight`` hold here too. Dense encoders come in
            :class:`OneVectorTokens`.
        width: leading coordinates.
        refine: documents that are scored by all coordinates.

    Attributes:
        coordinates_read: coordinates of document tokens that were compared, of all calls so far.

    Raises:
        InputError: for a width below 1, or ``refine`` below 1 or above the stage's ``k``.

    Reference:
        Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Example:
        >>> class Pairs:  # a text is the numbers in it
        ...     def encode_queries(self, texts):
        ...         return torch.tensor([[float(c) for c in text] for text in texts])
        ...     encode_documents = encode_queries
        >>> late = LateInteractionReranker(OneVectorTokens(Pairs()), ["10", "11", "01"], k=3)
        >>> incoming = Ranking(torch.tensor([[0, 1, 2]]), torch.zeros(1, 3), torch.ones(1, 3).bool())
        >>> MatryoshkaTailReranker(late, width=1, refine=2)(["11"], incoming).ids.tolist()
        [[1, 0, 2]]
    """

    def __init__(self, stage: LateInteractionReranker, *, width: int, refine: int) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"width={width}: compare at least the first coordinate")
        if not 1 <= refine <= stage.k:
            raise InputError(f"refine={refine} must lie between 1 and the stage's k={stage.k}: no more are scored")
        self.stage = stage
        self.width = width
        self.refine = refine
        self.coordinates_read = 0
        self._leading: tuple[Tensor, Tensor] | None = None
        self.training = stage.training

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for an empty query, a ranking of other queries or of another collection, or an index with fewer
                coordinates than ``width``.
        """
        stage = self.stage
        check_ranking(queries, ranking, len(stage.documents))
        packed = self._packed()
        with frozen(stage.encoder):
            device = packed.embeddings.device
            embeddings, mask = (torch.as_tensor(each).to(device) for each in stage.encoder.encode_queries(queries))
            leading = PackedTokens(self._leading_of(packed), packed.cu_seqlens)
            rows = []
            for row in range(len(queries)):
                one = Ranking(*(each[row : row + 1] for each in ranking))
                query, real = embeddings[row : row + 1], mask[row : row + 1]
                # A query's tokens may have weights, which are their lengths.
                cut = _cut(query, self.width) * query.norm(dim=-1, keepdim=True)
                first = self._scored(one, min(stage.k, one.ids.shape[1]), cut, real, leading)
                rows.append(self._refined(one, first, query, real, packed))
        return Ranking(*(torch.cat(each) for each in zip(*rows, strict=True)))

    def _refined(self, ranking: Ranking, first: Tensor, query: Tensor, real: Tensor, packed: PackedTokens) -> Ranking:
        """One query's ranking by the scores ``first`` ``[1, k]`` of its head, the best of them by all coordinates."""
        incoming = ranking.scores[:, : first.shape[1]].masked_fill(~ranking.mask[:, : first.shape[1]], 0.0)
        early = plus_incoming(first, incoming, self.stage.first_stage_weight).masked_fill(first.isinf(), -torch.inf)
        by_early = early[0].argsort(descending=True, stable=True)
        # In the order they came in, so that equal final scores stay in it.
        chosen = by_early[: self.refine].sort().values
        behind = torch.arange(len(by_early), ranking.ids.shape[1], device=by_early.device)
        order = torch.cat([chosen, by_early[self.refine :], behind])
        moved = Ranking(*(each[:, order] for each in ranking))
        final = self._scored(moved, len(chosen), query, real, packed)
        return splice(moved, final, first_stage_weight=self.stage.first_stage_weight)

    def _scored(self, ranking: Ranking, head: int, query: Tensor, real: Tensor, packed: PackedTokens) -> Tensor:
        """MaxSim of one query with the first ``head`` documents of its ranking: ``[1, head]``, ``-inf`` if masked."""
        mask = ranking.mask[:, :head]
        scores = torch.full(mask.shape, -torch.inf, device=mask.device)
        rows = ranking.ids[:, :head][mask].to(packed.cu_seqlens.device)
        if not len(rows):
            return scores
        documents = gather_packed(packed, rows)
        self.coordinates_read += documents.embeddings.numel()
        found = maxsim(query, documents.embeddings, real, document_cu_seqlens=documents.cu_seqlens)
        return scores.masked_scatter(mask, found.to(scores))

    def _packed(self) -> PackedTokens:
        if self.stage.embeddings is None:
            self.stage.index()
        return PackedTokens(cast(Tensor, self.stage.embeddings), cast(Tensor, self.stage.cu_seqlens))

    def _leading_of(self, packed: PackedTokens) -> Tensor:
        """The leading coordinates of the index, made once an index."""
        dim = packed.embeddings.shape[-1]
        if self.width > dim:
            raise InputError(f"width={self.width}: the index has {dim} coordinates a token; choose 1 to {dim}")
        if self._leading is None or self._leading[0] is not packed.embeddings:
            self._leading = (packed.embeddings, _cut(packed.embeddings, self.width).contiguous())
        return self._leading[1]


def _cut(embeddings: Tensor, width: int) -> Tensor:
    return normalize(embeddings[..., :width].float(), dim=-1)
