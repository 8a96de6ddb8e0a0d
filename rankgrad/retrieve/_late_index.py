"""An index of token embeddings: what the codec keeps of them, and the encodings that find candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules.muvera import Muvera
from rankgrad.retrieve._encodings import EncodingIndex
from rankgrad.retrieve._exact import best_of_blocks
from rankgrad.retrieve._token_store import CodecName, TokenStore
from rankgrad.retrieve._top import descending
from rankgrad.types import PackedTokens, Ranking


class LateIndex(nn.Module):
    """Documents by their place, from 0.

    Args:
        codec: see :class:`TokenStore`.
        muvera: None = every document is scored.
        factory, faiss_search: see :class:`EncodingIndex`.
    """

    def __init__(
        self, codec: CodecName, muvera: Muvera | None, *, factory: str | None, faiss_search: dict[str, float]
    ) -> None:
        super().__init__()
        self.tokens = TokenStore(codec)
        self.codec: CodecName = codec
        self.faiss_search = faiss_search
        self.encodings = None
        if muvera is not None:
            self.encodings = EncodingIndex(muvera, factory=factory, faiss_search=faiss_search)
        elif factory is not None:
            raise InputError(f"factory={factory!r} indexes MUVERA's encodings: pass muvera too, or leave it out")
        if faiss_search and factory is None:
            raise InputError(f"faiss_search={faiss_search} says nothing without a factory string: pass factory too")

    @property
    def documents(self) -> int:
        """How many there are."""
        return self.tokens.documents

    @property
    def device(self) -> torch.device:
        """Where the tokens are."""
        return torch.device("cpu") if self.tokens.offsets is None else self.tokens.offsets.device

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens and the encodings."""
        return self.tokens.nbytes + (0 if self.encodings is None else self.encodings.nbytes)

    @property
    def muvera(self) -> Muvera | None:
        """What makes the encodings."""
        return None if self.encodings is None else self.encodings.muvera

    @property
    def factory(self) -> str | None:
        """The kind of FAISS index."""
        return self.encodings.faiss.factory if self.encodings and self.encodings.faiss else None

    def settings(self) -> dict[str, Any]:
        """What an index must be of to be read into this one."""
        muvera = None if self.muvera is None else self.muvera.settings()
        return {"codec": self.codec, "factory": self.factory, "muvera": muvera}

    def anew(self, parts: Iterable[PackedTokens], *, sample: Tensor | None, total: int, seed: int) -> LateIndex:
        """An index of the same settings with other documents.

        Args:
            parts: the documents.
            sample: tokens ``[n, dim]`` that a codec is fitted to; None = it needs none.
            total: tokens there will be, about.
            seed: of what the fit draws.
        """
        made = LateIndex(self.codec, self.muvera, factory=self.factory, faiss_search=self.faiss_search)
        if sample is not None and made.tokens.is_fitted_to_a_sample:
            generator = torch.Generator(device=sample.device).manual_seed(seed)
            made.tokens.fit(sample.detach(), total, generator=generator)
        made.extend(parts)
        return made

    def extend(self, parts: Iterable[PackedTokens]) -> None:
        """Add documents at the end."""
        encoded: list[Tensor] = []
        self.tokens.extend(self._encoding(parts, encoded))
        if self.encodings is not None and encoded:
            self.encodings.extend(encoded)

    def keep(self, kept: Tensor) -> None:
        """Keep the documents that ``kept``, bool ``[documents]``, marks."""
        self.tokens.keep(kept.nonzero().squeeze(1).to(self.device))
        if self.encodings is not None:
            self.encodings.keep(kept)

    def search(self, queries: Tensor, mask: Tensor, k: int, *, candidates: int, allowed: Tensor | None) -> Ranking:
        """The ``k`` best documents of each query, equal ones in order of places.

        Args:
            queries: token embeddings ``[queries, tokens, dim]``.
            mask: bool ``[queries, tokens]``.
            k: at most as many as there are documents.
            candidates: documents that the encodings find for a query.
            allowed: bool ``[queries, documents]``; None = all.

        Raises:
            InputError: for queries of another width than the documents.
        """
        if queries.shape[-1] != self.tokens.dim:
            raise InputError(
                f"queries have {queries.shape[-1]} dimensions, the index {self.tokens.dim}: it is another encoder's; "
                "call index()"
            )
        queries, mask = queries.to(self.device), mask.to(self.device)
        if self.encodings is None:
            score = partial(self._block, queries, mask)
            return best_of_blocks(score, len(queries), self.documents, k, device=queries.device, allowed=allowed)
        found = self.encodings.search(queries, mask, min(max(candidates, k), self.documents), allowed)
        scores = torch.full(found.ids.shape, -torch.inf, device=queries.device)
        for row, (ids, real) in enumerate(zip(found.ids.to(queries.device), found.mask, strict=True)):
            tokens, cu_seqlens = self.tokens.take(ids[real])
            scores[row, real] = self.tokens.score(queries[row : row + 1], mask[row : row + 1], tokens, cu_seqlens)[0]
        # A candidate without a token scores -inf, and is none.
        ranking = descending(found.ids.to(scores.device), scores, found.mask.to(scores.device) & (scores > -torch.inf))
        return Ranking(*(tensor[:, :k] for tensor in ranking))

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""
        found = {f"tokens.{name}": tensor for name, tensor in self.tokens.tensors().items()}
        if self.encodings is not None:
            found |= {f"encodings.{name}": tensor for name, tensor in self.encodings.tensors().items()}
        return found

    def restore(self, tensors: dict[str, Tensor], documents: int) -> None:
        """Take what :meth:`tensors` gave of an index of so many documents.

        Raises:
            InputError: for tensors that do not belong together.
        """
        self.tokens.restore(_below("tokens.", tensors))
        if self.documents != documents:
            raise InputError(f"tokens: of {self.documents} documents, not {documents}")
        if self.encodings is not None:
            self.encodings.restore(_below("encodings.", tensors), documents)

    def _encoding(self, parts: Iterable[PackedTokens], encoded: list[Tensor]) -> Iterator[PackedTokens]:
        """The parts, whose encodings are put down as they pass; all where the index is, or its first part."""
        device = None if self.tokens.offsets is None else self.device
        for each in parts:
            device = each.embeddings.device if device is None else device
            part = PackedTokens(each.embeddings.detach().to(device), each.cu_seqlens.to(device))
            if self.encodings is not None:
                encoded.append(self.encodings.encode(part))
            yield part

    def _block(self, queries: Tensor, mask: Tensor, some: slice, documents: slice) -> Tensor:
        return self.tokens.score(queries[some], mask[some], *self.tokens.span(documents))


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
