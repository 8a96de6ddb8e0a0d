"""Retrieval by MaxSim: the documents that MUVERA's encodings find, or all, scored token by token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad._modes import frozen, learns
from rankgrad.modules.muvera import Muvera
from rankgrad.retrieve import _late_files
from rankgrad.retrieve._buffers import check_count, make_room
from rankgrad.retrieve._document_ids import known_ids, new_ids
from rankgrad.retrieve._late_build import built
from rankgrad.retrieve._late_encoding import LateInteractionTextEncoder, checked_queries, encoded, packed, parts_of
from rankgrad.retrieve._late_index import LateIndex
from rankgrad.retrieve._late_training import scored_afresh
from rankgrad.retrieve._token_store import CodecName
from rankgrad.retrieve._top import check_allowed, check_k, descending
from rankgrad.types import PackedTokens, Queries, Ranking


class LateInteractionRetriever(nn.Module):
    r"""Rank documents by MaxSim with the query: the sum over its tokens of the highest similarity to a document's.

    With ``muvera`` the ``candidates`` documents whose encodings have the highest dot product with the query's are
    scored exactly; without, all documents are, a block at a time. "Exactly" is MaxSim with what the codec keeps of each
    token. Documents without a token are never found.

    With gradients enabled and an encoder in training mode, the index, whatever state of the encoder it comes from,
    picks the documents; their scores are then computed afresh and carry gradients to the query encoder, and to the
    document encoder where the texts are known. The first search after that encodes the collection anew.

    Args:
        encoder: a :class:`rankgrad.models.ColBERT` or anything with its two ``encode_`` methods; its dim is a multiple
            of 8.
        documents: the collection, encoded at the first use or by :meth:`index`; None = it comes by :meth:`add` or
            :meth:`load_index`.
        embeddings: the collection's embeddings, where they are there already.
        codec: what an index keeps of a token: ``"fp16"``, ``"int8"``, ``"sign"`` (a bit a value), ``"residual2"`` or
            ``"residual4"`` (a centroid, and 2 or 4 bits a value).
        muvera: makes the encodings; None = every document is scored.
        candidates: documents that the encodings find for a query.
        factory: a FAISS factory string for the encodings (``"HNSW32"``, ``"IVF256,PQ64"``); None = exact products.
        faiss_search: search parameters by FAISS's names.
        seed: of the sample and the centroids of residuals.

    Shape:
        ``ids`` int64 ``[documents]``: the row number of each, in rankings; None before there is an index.

    Raises:
        InputError: for an empty collection, or options that do not go together.

    Reference:
        O. Khattab, M. Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction
        over BERT", SIGIR 2020. L. Dhulipala et al., "MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings",
        NeurIPS 2024.

    Example:
        >>> class Letters:  # one token a letter, on one axis each
        ...     def encode_queries(self, texts):
        ...         return self.encode_documents(texts).embeddings[None], torch.ones(1, len(texts[0]), dtype=torch.bool)
        ...     def encode_documents(self, texts):
        ...         eye, lengths = torch.eye(128), torch.tensor([0, *map(len, texts)])
        ...         return PackedTokens(eye[[ord(c) for c in "".join(texts)]], lengths.cumsum(0).int())
        >>> retriever = LateInteractionRetriever(Letters(), ["xyz", "abz", "abc"])
        >>> ranking = retriever(["abc"], k=2)
        >>> ranking.ids.tolist(), ranking.scores.tolist()
        ([[2, 1]], [[3.0, 2.0]])
    """

    ids: Tensor | None

    def __init__(
        self,
        encoder: LateInteractionTextEncoder,
        documents: Sequence[str] | None = None,
        *,
        embeddings: PackedTokens | None = None,
        codec: CodecName = "fp16",
        muvera: Muvera | None = None,
        candidates: int = 500,
        factory: str | None = None,
        faiss_search: dict[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if documents is not None:
            check_texts(documents, "document", allow_blank=True)
        if candidates < 1:
            raise InputError(f"candidates: expected at least 1, got {candidates}")
        self.encoder = encoder
        self.texts = None if documents is None else tuple(documents)
        self.candidates, self.seed, self.next_id, self.stale = candidates, seed, 0, False
        self.notes: dict[str, Any] = {}
        self.collection = LateIndex(codec, muvera, factory=factory, faiss_search=faiss_search or {})
        self.register_buffer("ids", None)
        if isinstance(encoder, nn.Module):
            self.training = encoder.training
        if embeddings is not None:
            given = packed(embeddings, documents=None if documents is None else len(documents))
            self._set(self.collection.anew(parts_of(given), sample=given[0], total=len(given[0]), seed=seed))

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.texts or ()) if self.ids is None else len(self.ids)

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query; equal scores in order of rows.

        Returns:
            A ranking. Where fewer than ``k`` are found (by FAISS, or beside documents without a token), the places left
            over have id -1, score -inf and mask False.

        Raises:
            InputError: for an empty query, ``k`` below 1 or above the size of the collection, or an index of another
                width than the queries'.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[rows]`` or ``[queries, rows]``, marks."""
        check_texts(queries, "query")
        self._check(k)
        if learns(self.encoder):
            embeddings, mask = checked_queries(*self.encoder.encode_queries(queries))
            with torch.no_grad():
                found = self._search(embeddings.detach(), mask, k, allowed)
            self.stale = self.texts is not None
            return self._named(scored_afresh(self.encoder, self.collection, self.texts, embeddings, mask, found))
        if self.stale:
            self.index()
        with frozen(self.encoder):
            embeddings, mask = checked_queries(*self.encoder.encode_queries(queries))
        return self.rank_vectors(embeddings, mask, k, allowed=allowed)

    def rank_vectors(self, queries: Tensor, mask: Tensor | None, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for query embeddings ``[queries, tokens, dim]`` and their mask, without a gradient."""
        self._check(k)
        with torch.no_grad():
            return self._named(self._search(*checked_queries(queries, mask), k, allowed))

    def index(self, *, progress: bool = False) -> LateInteractionRetriever:
        """Encode the collection now, whether or not there is an index already.

        Args:
            progress: show a bar on stderr.

        Raises:
            InputError: where the texts are not known.
        """
        if self.texts is None:
            raise InputError("there are no texts to encode: pass documents, add some, or load an index")
        self._set(built(self.collection, self.encoder, self.texts, seed=self.seed, progress=progress))
        return self

    def add(self, documents: Sequence[str], *, ids: Sequence[int] | None = None) -> Tensor:
        """Add documents to the collection and its index.

        Args:
            documents: texts.
            ids: their row numbers; None = those behind the highest that there ever was.

        Returns:
            The row numbers, int64 ``[documents]``.

        Raises:
            InputError: for no documents, or ids that are there already, are given twice, or are negative.
        """
        check_texts(documents, "document", allow_blank=True)
        if self.ids is None and self.texts is None:
            added = new_ids(ids, len(documents), torch.zeros(0, dtype=torch.long), 0)
            self._set(built(self.collection, self.encoder, documents, seed=self.seed, progress=False))
            self.texts, self.ids = tuple(documents), added.to(self.collection.device)
        else:
            self._ready()
            known = cast(Tensor, self.ids)
            added = new_ids(ids, len(documents), known, self.next_id)
            with torch.inference_mode(False), frozen(self.encoder):
                self.collection.extend(encoded(self.encoder, documents, progress=False))
            self.texts = None if self.texts is None else (*self.texts, *documents)
            self.ids = torch.cat([known, added.to(known.device)])
        self.next_id = max(self.next_id, int(added.max()) + 1)
        return added

    def delete(self, ids: Sequence[int]) -> None:
        """Delete documents. The others keep their row numbers, and nobody gets those of the deleted.

        Raises:
            InputError: for ids that are not there or are given twice.
        """
        self._ready()
        known = cast(Tensor, self.ids)
        kept = ~torch.isin(known, known_ids(ids, known))
        self.collection.keep(kept)
        self.texts = None if self.texts is None else tuple(compress(self.texts, kept.tolist()))
        self.ids = known[kept]

    def save_index(self, folder: str | Path, *, notes: dict[str, Any] | None = None, overwrite: bool = False) -> None:
        """Write the index, and the texts where they are known; a process killed here leaves the older index or this.

        Args:
            folder: a new or empty folder, or an older index, which is replaced; with ``overwrite`` one of any kind.
            notes: plain values to keep with it; None = those it has.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        self._ready()
        ids, notes = cast(Tensor, self.ids), self.notes if notes is None else notes
        state = _late_files.State(self.collection, ids, self.next_id, self.texts, notes)
        write_index(folder, _late_files.KIND, state.tensors(), state.settings(), overwrite=overwrite)

    def load_index(self, folder: str | Path, *, mmap: bool = True) -> LateInteractionRetriever:
        """Read an index that :meth:`save_index` wrote.

        Args:
            folder: where it is.
            mmap: leave it on disk and read what a search needs; else all of it now. Adding and deleting copy it.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or the index is of another codec, MUVERA, FAISS factory or
                collection.
        """
        tensors, settings = read_index(folder, _late_files.KIND, mmap=mmap)
        return self._take(_late_files.restored(folder, self.collection, self.texts, tensors, settings))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        encoder: LateInteractionTextEncoder,
        *,
        candidates: int = 500,
        faiss_search: dict[str, float] | None = None,
        mmap: bool = True,
    ) -> LateInteractionRetriever:
        """A retriever of the codec, the MUVERA and the texts that an index was saved with.

        Args:
            folder, mmap: as in :meth:`load_index`.
            encoder, candidates, faiss_search: as in the class.

        Raises:
            FileNotFoundError, InputError: as :meth:`load_index`.
        """
        made = cls(encoder, candidates=candidates)
        tensors, settings = read_index(folder, _late_files.KIND, mmap=mmap)
        empty = _late_files.empty_index(folder, settings, faiss_search=faiss_search or {})
        return made._take(_late_files.restored(folder, empty, None, tensors, settings))

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, candidates={self.candidates}"

    def _search(self, queries: Tensor, mask: Tensor, k: int, allowed: Tensor | None) -> Ranking:
        """Places in the collection."""
        self._ready()
        if allowed is not None:
            allowed = check_allowed(allowed, len(queries), self.next_id)[:, cast(Tensor, self.ids).to(allowed.device)]
        return self.collection.search(queries, mask, k, candidates=self.candidates, allowed=allowed)

    def _named(self, ranking: Ranking) -> Ranking:
        """Row numbers in the place of places."""
        ids = cast(Tensor, self.ids).to(ranking.ids.device)[ranking.ids.clamp(min=0)]
        return descending(ids.masked_fill(~ranking.mask, -1), ranking.scores, ranking.mask)

    def _set(self, made: LateIndex) -> None:
        if self.ids is None:
            self.ids, self.next_id = torch.arange(made.documents, device=made.device), made.documents
        self.collection, self.stale = made, False

    def _take(self, state: _late_files.State) -> LateInteractionRetriever:
        device = next(self.parameters(), torch.empty(0)).device
        self.collection, self.ids = state.collection.to(device), state.ids.to(device)
        self.next_id, self.texts, self.notes, self.stale = state.next_id, state.texts, state.notes, False
        return self

    def _ready(self) -> None:
        if self.ids is None:
            self.index()

    def _check(self, k: int) -> None:
        if self.documents == 0:
            raise InputError("the collection is empty: add documents, or load an index")
        check_k(k, self.documents)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        make_room(self, ("ids",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        check_count(self.texts, self.ids)
        self.next_id = 0 if self.ids is None or not len(self.ids) else int(self.ids.max()) + 1
