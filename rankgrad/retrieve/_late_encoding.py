"""Texts as token embeddings, whoever makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from rankgrad._checks import InputError, require
from rankgrad.types import PackedTokens

_CHUNK = 256


class LateInteractionTextEncoder(Protocol):
    """What the stage needs of a ColBERT: a torch model, or one of ``rankgrad.deploy`` (numpy)."""

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[queries, tokens, dim]`` and mask ``[queries, tokens]``."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[total_tokens, dim]`` and ``cu_seqlens`` ``[documents + 1]``."""
        ...


def packed(given: Any, *, documents: int | None = None) -> PackedTokens:
    """Packed tokens as tensors, wherever they come from.

    Args:
        given: embeddings and ``cu_seqlens``.
        documents: how many there must be; None = any number but none.

    Raises:
        InputError: for tokens and offsets that do not belong together.
    """
    embeddings, offsets = (torch.as_tensor(part) for part in given)
    if embeddings.dim() != 2 or offsets.dim() != 1 or len(offsets) < 2:
        raise InputError(
            "documents: expected embeddings [total_tokens, dim] and cu_seqlens [documents + 1] of at least one "
            f"document, got {list(embeddings.shape)} and {list(offsets.shape)}"
        )
    if documents is not None and len(offsets) != documents + 1:
        raise InputError(f"documents: expected embeddings of {documents}, got those of {len(offsets) - 1}")
    if int(offsets[0]) != 0 or int(offsets[-1]) != len(embeddings) or bool((offsets.diff() < 0).any()):
        raise InputError(f"cu_seqlens: expected to rise from 0 to {len(embeddings)}, the tokens there are")
    return PackedTokens(embeddings, offsets)


def checked_queries(embeddings: Any, mask: Any) -> tuple[Tensor, Tensor]:
    """Query tokens and their mask as tensors.

    Raises:
        InputError: for what is no table of finite numbers.
    """
    embeddings = torch.as_tensor(embeddings)
    if embeddings.dim() != 3 or 0 in embeddings.shape:
        raise InputError(f"queries: expected embeddings [queries, tokens, dim], got {list(embeddings.shape)}")
    mask = torch.ones(embeddings.shape[:2], dtype=torch.bool) if mask is None else torch.as_tensor(mask)
    mask = mask.to(embeddings.device)
    bad = (~embeddings.isfinite().all(2) & mask).any(1)
    if bad.any():
        raise InputError(f"queries: query {int(bad.nonzero()[0])} (counting from 0) holds NaN or infinity")
    return embeddings, mask


def encoded(encoder: LateInteractionTextEncoder, texts: Sequence[str], *, progress: bool) -> Iterator[PackedTokens]:
    """Texts a few at a time, with a bar on stderr where it is asked for."""
    starts: Iterable[int] = range(0, len(texts), _CHUNK)
    if progress:
        console = require("rich.console", "evaluate").Console(stderr=True)
        starts = require("rich.progress", "evaluate").track(starts, "encoding documents", console=console)
    for start in starts:
        some = texts[start : start + _CHUNK]
        yield packed(encoder.encode_documents(some), documents=len(some))


def parts_of(documents: PackedTokens) -> Iterator[PackedTokens]:
    """A few documents at a time, so that what a codec computes on the way stays small.

    Example:
        >>> [len(part.embeddings) for part in parts_of(PackedTokens(torch.zeros(300, 8), torch.arange(301)))]
        [256, 44]
    """
    offsets = documents.cu_seqlens.long()
    for start in range(0, len(offsets) - 1, _CHUNK):
        some = offsets[start : start + _CHUNK + 1]
        yield PackedTokens(documents.embeddings[int(some[0]) : int(some[-1])], some - some[0])
