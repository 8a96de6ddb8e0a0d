"""How a ColBERT makes and fills the weights of its query tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from rankgrad._checks import InputError, check_texts
from rankgrad.models._document_frequencies import document_frequencies
from rankgrad.modules.query_weights import QueryWeights
from rankgrad.tokens import LateInteractionTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

QueryWeighing = Literal["fixed", "learned"]


def new_query_weights(kind: QueryWeighing | None, width: int, *, matryoshka: bool) -> QueryWeights | None:
    """Weights of 1, or None.

    Raises:
        InputError: for an unknown kind, or one that Matryoshka training would undo.
    """
    if kind is None:
        return None
    if kind not in ("fixed", "learned"):
        raise InputError(f"query_weights={kind!r} is unknown: choose fixed or learned, or None")
    if matryoshka:
        raise InputError(
            "query_weights and matryoshka_dims: each width is brought to unit length; leave one of them out"
        )
    return QueryWeights(width, learn=kind == "learned")


def weighed(weights: QueryWeights | None, embeddings: Tensor, input_ids: Tensor) -> Tensor:
    """Embeddings of queries, weighed where there are weights."""
    return embeddings if weights is None else weights(embeddings, input_ids)


def fit_query_weights(
    weights: QueryWeights | None,
    tokenizer: PreTrainedTokenizerFast,
    late: LateInteractionTokenizer,
    texts: Sequence[str],
) -> None:
    """Set the weights to inverse document frequencies.

    Raises:
        InputError: for a model without weights, or no documents.
    """
    if weights is None:
        raise InputError('this model has no weights of query tokens: load it with query_weights="fixed" or "learned"')
    check_texts(texts, "document", allow_blank=True)
    neutral = [late.mask_id] if late.rules.query_expansion else []
    special = set(tokenizer.all_special_ids) - set(neutral)
    counts = document_frequencies(late, texts, len(weights.weight))
    weights.fit(counts, documents=len(texts), whole=sorted(special), neutral=neutral)
