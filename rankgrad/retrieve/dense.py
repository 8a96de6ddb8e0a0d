"""Retrieval by one vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import Engine, file_name, read_index, write_index
from rankgrad._modes import frozen, learns
from rankgrad.ops._arguments import full_precision
from rankgrad.retrieve._buffers import check_count, make_room
from rankgrad.retrieve._exact import exact_top
from rankgrad.retrieve._over_fetch import over_fetch
from rankgrad.retrieve._top import check_allowed, check_k, descending
from rankgrad.retrieve.faiss_index import FILE, FaissIndex
from rankgrad.types import Queries, Ranking

_CHUNK = 256


class DenseTextEncoder(Protocol):
    """What the stage needs of a dense encoder, such as :class:`rankgrad.models.DenseEncoder`."""

    def encode_queries(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[queries, dim]``."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Any:
        """Embeddings ``[documents, dim]``."""
        ...


class DenseRetriever(nn.Module):
    """Rank documents by the dot product of their embedding with the query's.

    The search is exact, in float32 whatever the embeddings are kept in, and goes through the collection in chunks, so
    memory does not grow with it; with ``faiss`` it is what that index does. With gradients enabled and an encoder in
    training mode, the index, whatever state of the encoder it comes from, picks the candidates; their scores are then
    computed afresh and carry gradients to the query encoder, and to the document encoder where ``documents`` are given,
    which are encoded again. The first search after that, with the encoder no longer in training, encodes the collection
    anew; :meth:`index` does so at any time.

    Args:
        encoder: makes embeddings of texts. Cosines come of embeddings of length 1.
        documents: the collection, encoded at the first use or by :meth:`index`.
        embeddings: the collection's embeddings, where they are there already.
        faiss: a FAISS factory string (``"Flat"``, ``"HNSW32"``, ``"IVF256,PQ16"``), searched by inner product; or
            such an index, filled already.
        faiss_search: search parameters by FAISS's names, such as ``{"nprobe": 16}`` or ``{"efSearch": 64}``.

    Shape:
        ``embeddings`` ``[documents, dim]``: the index; None before it is made, and behind a FAISS index.

    Raises:
        InputError: neither documents nor embeddings, embeddings that are not finite, embeddings or a FAISS index of
            another number than the documents, or a factory string or parameter that FAISS refuses or that is missing.

    Reference:
        V. Karpukhin et al., "Dense Passage Retrieval for Open-Domain Question Answering", EMNLP 2020. Training on
        an index of an earlier encoder: L. Xiong et al., "Approximate Nearest Neighbor Negative Contrastive
        Learning for Dense Text Retrieval", ICLR 2021.

    Example:
        >>> class Lengths:
        ...     def encode_queries(self, texts):
        ...         return torch.tensor([[len(text), 1.0] for text in texts])
        ...     encode_documents = encode_queries
        >>> retriever = DenseRetriever(Lengths(), ["a", "abc", "ab"])
        >>> ranking = retriever(["xx"], k=2)
        >>> ranking.ids.tolist(), ranking.scores.tolist()
        ([[1, 2]], [[7.0, 5.0]])
    """

    embeddings: Tensor | None

    def __init__(
        self,
        encoder: DenseTextEncoder,
        documents: Sequence[str] | None = None,
        *,
        embeddings: Tensor | None = None,
        faiss: str | FaissIndex | None = None,
        faiss_search: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        if faiss_search and not isinstance(faiss, str):
            raise InputError(f"faiss_search={faiss_search} says nothing without a factory string: pass faiss too")
        self.faiss = FaissIndex(faiss, search=faiss_search or {}) if isinstance(faiss, str) else faiss
        if documents is None and embeddings is None and not (self.faiss and self.faiss.documents):
            raise InputError("no document given: pass documents, or their embeddings")
        if documents is not None:
            check_texts(documents, "document", allow_blank=True)
        self.encoder = encoder
        self.texts = None if documents is None else tuple(documents)
        self.stale = False
        self.register_buffer("embeddings", None)
        if isinstance(encoder, nn.Module):
            self.training = encoder.training
        if embeddings is not None:
            self._set(embeddings)
        elif documents is not None and self.faiss and self.faiss.documents not in (0, len(documents)):
            raise InputError(f"faiss: holds {self.faiss.documents} documents, not these {len(documents)}: fill it anew")

    @property
    def documents(self) -> int:
        """How many documents there are."""
        if self.texts is not None:
            return len(self.texts)
        return self.faiss.documents if self.embeddings is None and self.faiss else len(self._exact())

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query; equal scores in order of rows.

        Returns:
            A ranking. A FAISS index that finds fewer than ``k`` leaves places with id -1, score -inf and mask False.

        Raises:
            InputError: for an empty query, ``k`` below 1 or above the size of the collection, or an index of another
                width than the queries'.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[documents]`` or ``[queries, documents]``, marks."""
        check_texts(queries, "query")
        check_k(k, self.documents)
        if learns(self.encoder):
            embeddings = _checked(self.encoder.encode_queries(queries), "queries")
            with torch.no_grad():
                found = self._search(embeddings.detach(), k, allowed)
            self.stale = self.texts is not None
            return self._afresh(embeddings, found)
        if self.stale:
            self.index()
        with frozen(self.encoder):
            embeddings = _checked(self.encoder.encode_queries(queries), "queries")
        return self._search(embeddings, k, allowed)

    def rank_vectors(self, queries: Tensor, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for query embeddings ``[queries, dim]``, without a gradient."""
        check_k(k, self.documents)
        with torch.no_grad():
            return self._search(_checked(queries, "queries"), k, allowed)

    def index(self) -> DenseRetriever:
        """Encode the collection now, whether or not there is an index already.

        Raises:
            InputError: where the texts are not known.
        """
        if self.texts is None:
            raise InputError("only embeddings were given: pass documents to encode them")
        # An index outlives the caller's inference mode, whose tensors could not be loaded over or trained beside.
        with torch.inference_mode(False), frozen(self.encoder):
            starts = range(0, len(self.texts), _CHUNK)
            parts = [torch.as_tensor(self.encoder.encode_documents(self.texts[i : i + _CHUNK])) for i in starts]
        self._set(torch.cat(parts))
        self.stale = False
        return self

    def save(self, folder: str | Path) -> None:
        """Write the index, a FAISS one as a file of its own; a process killed here leaves the older index or this.

        Args:
            folder: a new or empty folder, or an older index, which is replaced.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        self._ready()
        faiss = self.faiss
        settings = {"documents": self.documents, "faiss": faiss and faiss.factory}
        engine = faiss and Engine(FILE, lambda path: faiss.write(path.parent, name=path.name))
        write_index(folder, "dense", {} if faiss else {"embeddings": self._exact()}, settings, engine=engine)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        encoder: DenseTextEncoder,
        documents: Sequence[str] | None = None,
        *,
        faiss_search: dict[str, float] | None = None,
    ) -> DenseRetriever:
        """Read an index that :meth:`save` wrote.

        Args:
            folder: where it is.
            encoder: the one that made it.
            documents: the same collection, needed only to train or to index anew. Their number is checked, not what
                they say.
            faiss_search: as in the class.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or the index is of another number of documents.
        """
        filled: list[FaissIndex] = []

        def fill(folder: Path, settings: dict[str, Any]) -> None:
            if settings.get("faiss") is not None and isinstance(settings.get("documents"), int):
                index = FaissIndex(settings["faiss"], search=faiss_search or {})
                index.read(folder, settings["documents"], name=file_name(folder, settings, "engine", FILE))
                filled[:] = [index]

        tensors, settings = read_index(folder, "dense", engine=fill)
        count, factory, embeddings = settings.get("documents"), settings.get("faiss"), tensors.get("embeddings")
        if not isinstance(count, int) or (factory is None and (embeddings is None or len(embeddings) != count)):
            raise InputError(f"{folder} is no complete dense index: write it again")
        if documents is not None and len(documents) != count:
            raise InputError(f"{folder} indexes {count} documents, not these {len(documents)}: pass the same ones")
        if factory is None:
            return cls(encoder, documents, embeddings=embeddings, faiss_search=faiss_search)
        return cls(encoder, documents, faiss=filled[0])

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, faiss={self.faiss and self.faiss.factory!r}"

    def _search(self, queries: Tensor, k: int, allowed: Tensor | None) -> Ranking:
        self._ready()
        if self.faiss is None:
            documents = self._exact()
            _check_width(queries, documents.shape[1])
            if allowed is not None:
                allowed = check_allowed(allowed, len(queries), len(documents))
            return exact_top(queries.to(documents.device), documents, k, allowed=allowed)
        index = self.faiss
        _check_width(queries, index.dim)
        if allowed is None:
            return index.search(queries, k)
        allowed = check_allowed(allowed, len(queries), index.documents)
        return over_fetch(lambda wanted: index.search(queries, wanted), k, allowed)

    def _afresh(self, queries: Tensor, found: Ranking) -> Ranking:
        """The documents found, scored with gradients."""
        rows, places = found.ids.clamp(min=0).unique(return_inverse=True)
        if self.texts is not None:
            documents = torch.as_tensor(self.encoder.encode_documents([self.texts[row] for row in rows.tolist()]))
        elif self.embeddings is not None:
            documents = self.embeddings[rows.to(self.embeddings.device)]
        else:
            raise InputError("a FAISS index alone has no embeddings to train against: pass documents")
        with full_precision(queries.device):
            found_here = documents.to(queries.device).float()[places.to(queries.device)]
            scores = torch.einsum("qd,qkd->qk", queries.float(), found_here)
        return descending(found.ids.to(scores.device), scores, found.mask.to(scores.device))

    def _ready(self) -> None:
        if self.embeddings is None and (self.faiss is None or self.faiss.documents == 0):
            self.index()

    def _exact(self) -> Tensor:
        if self.embeddings is None:
            raise InputError("there is no index yet: call index()")
        return self.embeddings

    def _set(self, embeddings: Tensor) -> None:
        embeddings = _checked(embeddings, "embeddings").detach()
        if self.texts is not None and len(embeddings) != len(self.texts):
            raise InputError(f"embeddings: expected {len(self.texts)} rows, one a document, got {len(embeddings)}")
        if self.faiss:
            self.faiss.fill(embeddings)
        else:
            self.embeddings = embeddings.contiguous()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        make_room(self, ("embeddings",), state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        check_count(self.texts, self.embeddings)


def _checked(embeddings: Any, name: str) -> Tensor:
    """Refuse what is no table of finite numbers."""
    embeddings = torch.as_tensor(embeddings)
    if embeddings.dim() != 2 or 0 in embeddings.shape:
        raise InputError(f"{name}: expected embeddings [{name}, dim], got {list(embeddings.shape)}")
    if not embeddings.isfinite().all():
        row = int((~embeddings.isfinite()).any(1).nonzero()[0])
        raise InputError(f"{name}: row {row} holds NaN or infinity; an empty text whose mean was taken?")
    return embeddings


def _check_width(queries: Tensor, dim: int) -> None:
    if queries.shape[1] != dim:
        raise InputError(
            f"queries have {queries.shape[1]} dimensions, the index {dim}: it is another encoder's; call index()"
        )
