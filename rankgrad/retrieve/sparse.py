"""Retrieval by learned sparse vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad._modes import frozen
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.retrieve._inverted import check_postings, search
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

_CHUNK = 256


class SparseTextEncoder(Protocol):
    """What the stage needs of a sparse encoder, such as :class:`rankgrad.models.SparseEncoder`."""

    def encode_queries(self, texts: Sequence[str]) -> SparseRows: ...

    def encode_documents(self, texts: Sequence[str]) -> SparseRows: ...


class SparseRetriever(nn.Module):
    """Rank documents by the dot product of sparse vectors, exactly, from an inverted index.

    Args:
        encoder: makes sparse rows of texts; None where queries come as vectors, to :meth:`rank_vectors`.
        documents: the collection, encoded now; or leave it out and pass ``vectors``.
        vectors: the collection's vectors: :class:`rankgrad.modules.sparse_rows.SparseRows`, or a torch tensor, dense
            or sparse (COO, CSR), ``[documents, width]``.
        width: coordinates of a vector; None = the tensor's, or one more than the highest index that occurs.

    Shape:
        ``indptr`` int64 ``[width + 1]``, ``rows`` int32 ``[entries]``, ``weights`` float32 ``[entries]``: coordinate
        t's documents and values are entries ``indptr[t]:indptr[t + 1]``.

    Raises:
        InputError: no documents, both or neither of ``documents`` and ``vectors``, an index outside of the width or
            twice in a row, or values that are not finite.

    Reference:
        T. Formal, B. Piwowarski, S. Clinchant, "SPLADE: Sparse Lexical and Expansion Model for First Stage Ranking",
        SIGIR 2021.

    Example:
        >>> retriever = SparseRetriever(vectors=torch.tensor([[0.0, 2.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 3.0]]))
        >>> ranking = retriever.rank_vectors(torch.tensor([[1.0, 1.0, 0.0]]), k=3)
        >>> ranking.ids.tolist(), ranking.scores.tolist()
        ([[0, 1, -1]], [[2.0, 2.0, -inf]])
    """

    indptr: Tensor
    rows: Tensor
    weights: Tensor

    def __init__(
        self,
        encoder: SparseTextEncoder | None = None,
        documents: Sequence[str] | None = None,
        *,
        vectors: SparseRows | Tensor | None = None,
        width: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        if (documents is None) == (vectors is None):
            raise InputError("pass either documents, which an encoder encodes, or their vectors")
        if vectors is None:
            vectors = self._encoded(documents or ())
        rows, indices, values, seen = _triples(vectors, "vectors", width)
        self.documents = len(vectors.cu_seqlens) - 1 if isinstance(vectors, SparseRows) else len(vectors)
        self.width = width or seen
        if self.documents == 0:
            raise InputError("no document given: pass at least one")
        order = np.lexsort((rows, indices))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=self.width))])
        self._set(
            torch.from_numpy(indptr),
            torch.from_numpy(rows[order]).to(torch.int32),
            torch.from_numpy(values[order]).float(),
        )

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` best documents of each query, without a gradient; equal scores in order of rows.

        Returns:
            A ranking; documents whose dot product is not above 0 are not in it (id -1, score -inf, mask False).

        Raises:
            InputError: without an encoder, for an empty query, or ``k`` below 1 or above the size of the collection.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[documents]`` or ``[queries, documents]``, marks."""
        check_texts(queries, "query")
        if self.encoder is None:
            raise InputError("there is no encoder for texts: pass one, or call rank_vectors")
        with frozen(self.encoder):
            return self.rank_vectors(self.encoder.encode_queries(queries), k, allowed=allowed)

    def rank_vectors(self, queries: SparseRows | Tensor, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for query vectors, in any of the forms that the collection may have.

        Raises:
            InputError: for vectors of another width, or values that are not finite.
        """
        owners, positions, values, _ = _triples(queries, "queries", self.width)
        number = len(queries.cu_seqlens) - 1 if isinstance(queries, SparseRows) else len(queries)
        if number == 0:
            raise InputError("no query given: pass at least one")
        return search(self, WeightedTerms(owners, positions, values, number), k, allowed=allowed)

    def save(self, folder: str | Path) -> None:
        """Write the index, without the encoder; all of it or nothing.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        tensors = {"indptr": self.indptr, "rows": self.rows, "weights": self.weights}
        write_index(folder, "sparse", tensors, {"documents": self.documents, "width": self.width})

    @classmethod
    def load(cls, folder: str | Path, encoder: SparseTextEncoder | None = None) -> SparseRetriever:
        """Read an index that :meth:`save` wrote; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or is no sparse index.
        """
        tensors, settings = read_index(folder, "sparse")
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        self.encoder = encoder
        try:
            self.documents, self.width = settings["documents"], settings["width"]
            self._set(tensors["indptr"], tensors["rows"], tensors["weights"])
            check_postings(folder, range(self.width), self)
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder} is no complete sparse index ({error!r}): write it again") from error
        return self

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, width={self.width}, entries={len(self.rows)}"

    def _set(self, indptr: Tensor, rows: Tensor, weights: Tensor) -> None:
        self.register_buffer("indptr", indptr)
        self.register_buffer("rows", rows)
        self.register_buffer("weights", weights)

    def _encoded(self, documents: Sequence[str]) -> SparseRows:
        check_texts(documents, "document", allow_blank=True)
        if self.encoder is None:
            raise InputError("documents without an encoder: pass one, or vectors instead of documents")
        with frozen(self.encoder):
            starts = range(0, len(documents), _CHUNK)
            parts = [self.encoder.encode_documents(documents[start : start + _CHUNK]) for start in starts]
        return SparseRows.joined(parts, torch.arange(len(documents)))


def _triples(
    vectors: SparseRows | Tensor, name: str, width: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Row, coordinate and value of everything that is not 0, by row and coordinate; and how wide the rows are."""
    if isinstance(vectors, SparseRows):
        indices, values = vectors.indices.cpu(), vectors.values.detach().cpu()
        rows = torch.arange(len(vectors.counts)).repeat_interleave(vectors.counts.cpu())
        seen = int(indices.max()) + 1 if len(indices) else 1
    else:
        if vectors.dim() != 2:
            raise InputError(f"{name}: expected [rows, width], got {list(vectors.shape)}")
        if width not in (None, vectors.shape[1]):
            raise InputError(f"{name}: expected [rows, {width}], got {list(vectors.shape)}; they are another encoder's")
        coordinates = vectors.detach().cpu().to_sparse_coo().coalesce()
        (rows, indices), values = coordinates.indices(), coordinates.values()
        seen = vectors.shape[1]
    if seen > (width or seen) or (len(indices) and int(indices.min()) < 0):
        raise InputError(f"{name}: coordinates reach from {int(indices.min())} to {seen - 1}, the width is {width}")
    if not values.isfinite().all():
        raise InputError(f"{name}: expected finite values, got NaN or infinity")
    order = np.lexsort((indices.numpy(), rows.numpy()))
    found = rows.numpy()[order], indices.numpy()[order], values.double().numpy()[order]
    if ((np.diff(found[0]) == 0) & (np.diff(found[1]) == 0)).any():
        raise InputError(f"{name}: a coordinate stands twice in a row: add its values up first")
    return *found, seen
