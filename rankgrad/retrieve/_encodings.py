"""MUVERA's encodings of a collection, and the candidates that they find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules.muvera import Muvera
from rankgrad.retrieve._buffers import make_room
from rankgrad.retrieve._exact import exact_top
from rankgrad.retrieve._over_fetch import over_fetch
from rankgrad.retrieve.faiss_index import FaissIndex
from rankgrad.types import PackedTokens, Ranking

_NAMES = ("encodings", "rows")


class EncodingIndex(nn.Module):
    """Encodings of documents, searched by dot product: exactly, or by FAISS.

    A FAISS index keeps the entries of deleted documents and passes over them.

    Args:
        muvera: makes the encodings.
        factory: a FAISS factory string; None = exact.
        faiss_search: search parameters by FAISS's names.

    Shape:
        encodings ``[documents, encoding_dim]``, without FAISS; rows int64 ``[entries]``, with it: the document of each
        entry, -1 = deleted
    """

    encodings: Tensor | None
    rows: Tensor | None

    def __init__(self, muvera: Muvera, *, factory: str | None, faiss_search: dict[str, float]) -> None:
        super().__init__()
        self.muvera = muvera
        self.faiss = None if factory is None else FaissIndex(factory, search=faiss_search)
        for name in _NAMES:
            self.register_buffer(name, None)

    @property
    def nbytes(self) -> int:
        """Bytes of the encodings, or of the FAISS index."""
        if self.faiss is None:
            return 0 if self.encodings is None else self.encodings.nbytes
        return self.faiss.to_bytes().nbytes if self.faiss.documents else 0

    def encode(self, documents: PackedTokens) -> Tensor:
        """Encodings, without a gradient; MUVERA goes where the tokens are.

        Raises:
            InputError: for tokens of another width than MUVERA's.
        """
        with torch.no_grad():
            return self._muvera_beside(documents.embeddings).encode_documents(
                PackedTokens(documents.embeddings, documents.cu_seqlens)
            )

    def extend(self, encodings: Iterable[Tensor]) -> None:
        """Add documents at the end."""
        added = torch.cat(list(encodings))
        if self.faiss is None:
            self.encodings = added if self.encodings is None else torch.cat([self.encodings, added])
            return
        rows = torch.zeros(0, dtype=torch.long) if self.rows is None else self.rows
        first = int((rows >= 0).sum())
        self.faiss.add(added)
        self.rows = torch.cat([rows, torch.arange(first, first + len(added), device=rows.device)])

    def keep(self, kept: Tensor) -> None:
        """Keep the documents that ``kept``, bool ``[documents]``, marks."""
        if self.faiss is None:
            encodings = cast(Tensor, self.encodings)
            self.encodings = encodings[kept.to(encodings.device)]
            return
        rows = cast(Tensor, self.rows)
        kept = kept.to(rows.device)
        places = (kept.cumsum(0) - 1).masked_fill(~kept, -1)
        self.rows = torch.where(rows >= 0, places[rows.clamp(min=0)], -1)

    def search(self, queries: Tensor, mask: Tensor, k: int, allowed: Tensor | None) -> Ranking:
        """The ``k`` documents whose encodings have the highest dot product with each query's.

        Args:
            queries: token embeddings ``[queries, tokens, dim]``.
            mask: bool ``[queries, tokens]``.
            k: at most as many as there are documents.
            allowed: bool ``[queries, documents]``; None = all.
        """
        encoded = self._muvera_beside(queries).encode_queries(queries, mask)
        if self.faiss is None:
            return exact_top(encoded, cast(Tensor, self.encodings), k, allowed=allowed)
        faiss, rows = self.faiss, cast(Tensor, self.rows)
        if allowed is None and bool((rows >= 0).all()):
            found = faiss.search(encoded, k)
        else:
            real = (rows >= 0).expand(len(encoded), -1)
            if allowed is not None:
                real = real & allowed.to(rows.device)[:, rows.clamp(min=0)]
            found = over_fetch(lambda wanted: faiss.search(encoded, wanted), k, real)
        places = rows.to(found.ids.device)[found.ids.clamp(min=0)]
        return found._replace(ids=places.masked_fill(~found.mask, -1))

    def tensors(self) -> dict[str, Tensor]:
        """All that there is, by name; a FAISS index as its bytes."""
        found = dict(self.named_buffers()) | dict(self.named_parameters())
        return found if self.faiss is None else found | {"faiss": self.faiss.to_bytes()}

    def restore(self, tensors: dict[str, Tensor], documents: int) -> None:
        """Take what :meth:`tensors` gave of an index of so many documents.

        Raises:
            InputError: for tensors that do not belong together.
        """
        for name, old in (dict(self.muvera.named_buffers()) | dict(self.muvera.named_parameters())).items():
            new = tensors.get(f"muvera.{name}")
            if new is None or new.shape != old.shape:
                raise InputError(f"muvera.{name}: expected {list(old.shape)}, got {new if new is None else new.shape}")
            old.data.copy_(new)
        self.encodings, self.rows = tensors.get("encodings"), tensors.get("rows")
        if self.faiss is None:
            count = -1 if self.encodings is None else len(self.encodings)
        else:
            if "faiss" not in tensors or self.rows is None:
                raise InputError("faiss: the index's own bytes are missing")
            self.faiss.from_bytes(tensors["faiss"], len(self.rows))
            count = int((self.rows >= 0).sum())
        if count != documents:
            raise InputError(f"encodings: of {count} documents, not {documents}")

    def _muvera_beside(self, tokens: Tensor) -> Muvera:
        if self.muvera.directions.device != tokens.device:
            self.muvera.to(tokens.device)
        return self.muvera

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        make_room(self, _NAMES, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
