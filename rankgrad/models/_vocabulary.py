"""Whether an encoder has an embedding for every id that its tokenizer makes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from torch import nn

from rankgrad._checks import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, backbone: nn.Module, *, besides: Collection[str] = ()) -> None:
    """Refuse a tokenizer with more ids than the encoder has embeddings.

    Args:
        tokenizer: with the tokens that were added to it.
        backbone: a transformers model; one that does not tell its embeddings is not checked.
        besides: tokens that are not looked at.

    Raises:
        InputError: naming both numbers.
    """
    rows = _embeddings(backbone)
    ids = 1 + max((place for token, place in tokenizer.get_vocab().items() if token not in besides), default=-1)
    if rows is not None and ids > rows:
        raise InputError(
            f"the tokenizer has {ids} ids and the encoder {rows} embeddings: they belong to different models; take "
            "both from one folder, or resize the encoder's embeddings"
        )


def add_markers(tokenizer: PreTrainedTokenizerFast, backbone: nn.Module, markers: Collection[str]) -> None:
    """Add the tokens that the tokenizer lacks to it and to the encoder's embeddings.

    Raises:
        InputError: as :func:`check_vocabulary`.
    """
    check_vocabulary(tokenizer, backbone, besides=markers)
    known = tokenizer.get_vocab()
    if tokenizer.add_tokens([text for text in markers if text not in known], special_tokens=True):
        backbone.resize_token_embeddings(len(tokenizer), mean_resizing=False)  # type: ignore[operator]
    check_vocabulary(tokenizer, backbone)


def _embeddings(backbone: nn.Module) -> int | None:
    """How many ids the model has embeddings for."""
    if not hasattr(backbone, "get_input_embeddings"):
        inner = getattr(backbone, "encoder", None)
        return _embeddings(inner) if isinstance(inner, nn.Module) else None
    try:
        table: Any = backbone.get_input_embeddings()  # type: ignore[operator]
    except (NotImplementedError, AttributeError):
        return None
    return getattr(table, "num_embeddings", None)
