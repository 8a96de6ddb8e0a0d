"""Scores with gradients of the documents that an index found."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rankgrad.ops import maxsim
from rankgrad.retrieve._late_encoding import LateInteractionTextEncoder, packed
from rankgrad.retrieve._late_index import LateIndex
from rankgrad.retrieve._token_store import token_places
from rankgrad.retrieve._top import descending
from rankgrad.types import Ranking


def scored_afresh(
    encoder: LateInteractionTextEncoder,
    collection: LateIndex,
    texts: Sequence[str] | None,
    queries: Tensor,
    mask: Tensor,
    found: Ranking,
) -> Ranking:
    """A ranking by MaxSim of embeddings made now, each distinct document's once.

    Args:
        encoder: makes the documents' embeddings.
        collection: gives them, as its codec keeps them and without a gradient, where there are no texts.
        texts: of the collection; None = not known.
        queries, mask: ``[queries, tokens, dim]`` and ``[queries, tokens]``.
        found: places in the collection.
    """
    if not found.mask.any():
        return found
    rows, places = found.ids.where(found.mask, found.ids.max()).unique(return_inverse=True)
    if texts is None:
        documents = collection.tokens.decoded(rows)
    else:
        documents = packed(encoder.encode_documents([texts[int(row)] for row in rows]), documents=len(rows))
    device = documents.embeddings.device
    tokens, offsets = token_places(documents.cu_seqlens.long(), places.flatten().to(documents.cu_seqlens.device))
    scores = maxsim(
        queries.to(device),
        documents.embeddings[tokens],
        mask.to(device),
        layout="candidates",
        document_cu_seqlens=offsets.int(),
    )
    return descending(found.ids.to(device), scores, found.mask.to(device))
