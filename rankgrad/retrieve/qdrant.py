"""Retrieval by Qdrant: collections that outgrow one machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts, require
from rankgrad._modes import frozen
from rankgrad.retrieve import _qdrant_upload as steps
from rankgrad.retrieve import _qdrant_vectors as forms
from rankgrad.retrieve._qdrant_server import QdrantCollection
from rankgrad.retrieve._qdrant_vectors import VectorTextEncoder
from rankgrad.retrieve._top import check_allowed, check_k, descending
from rankgrad.retrieve.encoded import Shard
from rankgrad.retrieve.metadata import Metadata
from rankgrad.retrieve.qdrant_condition import QdrantCondition
from rankgrad.types import Queries, Ranking

QdrantFusion = Literal["rrf", "dbsf"]
ONE = "text"


class QdrantRetriever(nn.Module):
    """Rank documents that Qdrant holds, by dense, sparse or token vectors, or by several fused by Qdrant itself.

    The engine runs inside this process, in memory or in a folder, or behind a URL; nothing else changes. Scores are dot
    products, of token vectors MaxSim, and without a gradient. Each document is a point whose id is its row; writing
    it again changes nothing, so a broken upload goes on where it was.

    Args:
        encoder: a :class:`rankgrad.models.DenseEncoder`, a ``SparseEncoder``, a ``ColBERT``, or several by name.
        documents: the collection, sent at the first use or by :meth:`index`; None = what Qdrant holds already.
        metadata: fields of the documents, for filters.
        location: ``":memory:"``, a folder, or the URL of a server.
        collection: its name there.
        api_key: of a server.
        fusion: how Qdrant makes one ranking of several encoders': reciprocal ranks, or sums of scores scaled by their
            distribution.
        rrf_k: the k of reciprocal ranks, ``1 / (k + rank)`` with ranks from 1.
        reorder_by: the encoder that scores what the others found, instead of a fusion.
        depth: documents each encoder finds before they are fused or reordered; None = ten times k.
        exact: have a server compare the query with every document, without its approximate index.
        batch_size: documents encoded and sent at once.
        attempts: how often a request is tried; the waits between begin with ``wait`` seconds and double.
        timeout: seconds of a request.

    Raises:
        MissingExtraError: without qdrant-client.
        InputError: for options that do not go together, or a folder in use.

    Reference:
        Qdrant, https://qdrant.tech/documentation. The scores of token vectors: O. Khattab, M. Zaharia, "ColBERT:
        Efficient and Effective Passage Search via Contextualized Late Interaction over BERT", SIGIR 2020.

    Example:
        >>> class Lengths:
        ...     def encode_queries(self, texts):
        ...         return torch.tensor([[len(text), 1.0] for text in texts])
        ...     encode_documents = encode_queries
        >>> metadata = Metadata({"year": [1999, 2005, 2007]})
        >>> retriever = QdrantRetriever(Lengths(), ["a", "abc", "ab"], metadata=metadata)
        >>> retriever(["xx"], k=2).ids.tolist()
        [[1, 2]]
        >>> retriever(["xx"], k=2, where=~QdrantCondition.between("year", 2005, 2006)).ids.tolist()
        [[2, 0]]
    """

    def __init__(
        self,
        encoder: VectorTextEncoder | Mapping[str, VectorTextEncoder],
        documents: Sequence[str] | None = None,
        *,
        metadata: Metadata | None = None,
        location: str = ":memory:",
        collection: str = "documents",
        api_key: str | None = None,
        fusion: QdrantFusion = "rrf",
        rrf_k: int = 60,
        reorder_by: str | None = None,
        depth: int | None = None,
        exact: bool = False,
        batch_size: int = 64,
        attempts: int = 5,
        wait: float = 0.5,
        timeout: int = 60,
    ) -> None:
        super().__init__()
        self.encoders = dict(encoder) if isinstance(encoder, Mapping) else {ONE: encoder}
        if fusion not in ("rrf", "dbsf"):
            raise InputError(f"fusion={fusion!r} is unknown: choose rrf or dbsf")
        if reorder_by is not None and (reorder_by not in self.encoders or len(self.encoders) < 2):
            raise InputError(f"reorder_by={reorder_by!r}: name one of several encoders, got {', '.join(self.encoders)}")
        sizes = {"batch_size": batch_size, "attempts": attempts, "rrf_k": rrf_k, "depth": depth}
        for name, value in sizes.items():
            if value is not None and value < 1:
                raise InputError(f"{name}={value}: expected at least 1")
        self.stages = nn.ModuleList(one for one in self.encoders.values() if isinstance(one, nn.Module))
        self.texts = None if documents is None else list(documents)
        if self.texts is not None:
            check_texts(self.texts, "document", allow_blank=True)
        self.metadata = metadata
        self.fusion, self.rrf_k, self.reorder_by = fusion, rrf_k, reorder_by
        self.depth, self.exact, self.batch_size = depth, exact, batch_size
        options = {"api_key": api_key, "timeout": timeout, "attempts": attempts, "wait": wait}
        self.server = QdrantCollection(location, collection, **options)
        self.count: int | None = None
        self.rows = 0

    @property
    def documents(self) -> int:
        """How many documents Qdrant holds."""
        self._ready()
        if self.count is None:
            if not self.server.exists():
                raise InputError(f"there is no collection {self.server.name!r} yet: pass documents, or call add")
            self.count = self.server.count()
        return self.count

    def index(self, *, progress: bool = False, anew: bool = False) -> QdrantRetriever:
        """Send the documents that are not there, or are there with another text.

        Args:
            progress: show a bar.
            anew: encode and send all, as after a change of the encoder.

        Raises:
            InputError: where no documents were given, for fields of another number than the documents, when the server
                does not answer, or when another encoder made the collection.
        """
        if self.texts is None:
            raise InputError("no document given: pass documents, or call add")
        self._send(self.texts, 0, self.metadata, progress=progress, anew=anew)
        return self

    def add(self, documents: Sequence[str], *, metadata: Metadata | None = None) -> range:
        """Send more documents, behind the last.

        Returns:
            Their rows.
        """
        check_texts(documents, "document", allow_blank=True)
        self._ready()
        first = self.server.next_row() if self.server.exists() else 0
        self._send(documents, first, metadata, progress=False, anew=True)
        return range(first, first + len(documents))

    def upload(self, shards: Iterable[Shard], *, metadata: Metadata | None = None, progress: bool = False) -> None:
        """Send what was encoded before, as :class:`rankgrad.retrieve.EncodedCorpus`; rows there are not sent again.

        Raises:
            InputError: with several encoders, since shards hold the vectors of one.
        """
        if len(self.encoders) > 1:
            raise InputError(f"shards hold the vectors of one encoder, there are {', '.join(self.encoders)}")
        if progress:
            shards = require("rich.progress", "evaluate").track(shards, description="sending shards", transient=True)
        (name,) = self.encoders
        fields = {} if metadata is None else metadata.fields
        look = self.server.exists()
        for shard in shards:
            for start in range(0, len(shard), self.batch_size):
                part = shard.part(start, start + self.batch_size)
                rows = range(part.start, part.start + len(part))
                if not look or len(self.server.digests(rows)) < len(rows):
                    steps.put(self.server, {name: part.vectors}, rows, fields=fields)
        self.count = self.server.count()

    def delete(self, rows: Sequence[int]) -> None:
        """Take documents out; the rows of the others stay. :meth:`index` sends again what has a text here."""
        self._ready()
        self.rows = max(self.rows, self.server.next_row())
        self.server.remove([int(row) for row in rows])
        self.count = self.server.count()

    def forward(self, queries: Queries, k: int, *, where: QdrantCondition | None = None) -> Ranking:
        """Rank the ``k`` best documents of each query, among those that meet a condition.

        Returns:
            A ranking; equal scores in order of rows. Which of several with the score of the k-th are in it is up to
            Qdrant. Where it finds fewer, places have id -1, score -inf and mask False.

        Raises:
            InputError: for an empty query, ``k`` below 1 or above the size of the collection, a field that no
                document has, or a server that does not answer.
        """
        check_texts(queries, "query")
        check_k(k, self.documents)
        if where is not None:
            known = self.server.fields()
            for field in sorted(where.fields - known):
                choice = f"choose one of {', '.join(sorted(known))}" if known else "the documents have no fields"
                raise InputError(f"there is no field {field!r}: {choice}")
        chosen = None if where is None else self.server.models.Filter(**where.content)
        return self._rank(queries, k, [chosen] * len(queries))

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[rows]`` or ``[queries, rows]``, marks.

        It has a value for each row up to the highest that there is, or was before :meth:`delete` here. The rows allowed
        are sent with each query: for conditions on fields, ``where`` of :meth:`forward` is faster.
        """
        if allowed is None:
            return self(queries, k)
        check_texts(queries, "query")
        check_k(k, self.documents)
        models = self.server.models
        masks = check_allowed(allowed, len(queries), max(self.rows, self.server.next_row()))
        ids = [models.HasIdCondition(has_id=mask.nonzero().flatten().tolist()) for mask in masks]
        return self._rank(queries, k, [models.Filter(must=[one]) for one in ids])

    def close(self) -> None:
        """Let go of the folder or the connections."""
        self.server.client.close()

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"location={self.server.location!r}, collection={self.server.name!r}, fusion={self.fusion!r}"

    def _ready(self) -> None:
        if self.texts is not None and self.count is None:
            self.index()

    def _rank(self, queries: Queries, k: int, filters: Sequence[Any]) -> Ranking:
        vectors = {}
        for name, encoder in self.encoders.items():
            with frozen(encoder):
                vectors[name] = forms.query_vectors(encoder.encode_queries(queries), name, self.server.models)
        asked = [
            self._request({name: each[row] for name, each in vectors.items()}, k, one)
            for row, one in enumerate(filters)
        ]
        ids, scores = torch.full((len(queries), k), -1), torch.full((len(queries), k), -torch.inf)
        for row, points in enumerate(self.server.query(asked)):
            ids[row, : len(points)] = torch.tensor([point.id for point in points], dtype=torch.int64)
            scores[row, : len(points)] = torch.tensor([point.score for point in points])
        return descending(ids, scores, ids >= 0)

    def _request(self, vectors: Mapping[str, Any], k: int, chosen: Any) -> Any:
        models = self.server.models
        params = models.SearchParams(exact=True) if self.exact and self.server.remote else None
        shared = {"filter": chosen, "params": params}
        if len(vectors) == 1:
            ((name, vector),) = vectors.items()
            return models.QueryRequest(query=vector, using=name, limit=k, **shared)
        depth = max(k, self.depth or 10 * k)
        found = [
            models.Prefetch(query=vector, using=name, limit=depth, **shared)
            for name, vector in vectors.items()
            if name != self.reorder_by
        ]
        if self.reorder_by is not None:
            query = {"query": vectors[self.reorder_by], "using": self.reorder_by}
        elif self.fusion == "rrf":
            # Its ranks count from 0.
            query = {"query": models.RrfQuery(rrf=models.Rrf(k=self.rrf_k + 1))}
        else:
            query = {"query": models.FusionQuery(fusion=models.Fusion.DBSF)}
        return models.QueryRequest(prefetch=found, limit=k, filter=chosen, **query)

    def _send(self, texts: Sequence[str], first: int, metadata: Metadata | None, *, progress: bool, anew: bool) -> None:
        fields = {} if metadata is None else metadata.fields
        options = {"batch_size": self.batch_size, "progress": progress, "anew": anew}
        steps.send(self.server, texts, self._encoded, first=first, fields=fields, **options)
        self.count = self.server.count()

    def _encoded(self, texts: Sequence[str]) -> dict[str, Any]:
        vectors = {}
        for name, encoder in self.encoders.items():
            with frozen(encoder):
                vectors[name] = encoder.encode_documents(texts)
        return vectors
