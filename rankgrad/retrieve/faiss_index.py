"""A FAISS index of any kind, searched by inner product."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.retrieve._top import descending
from rankgrad.types import Ranking

FILE = "index.faiss"


class FaissIndex(nn.Module):
    """What FAISS's factory makes of a string, filled with embeddings.

    FAISS itself runs on the CPU here, and decides how exact the result is. A state dictionary has the index as bytes.

    Args:
        factory: such as ``"Flat"``, ``"HNSW32"`` or ``"IVF256,PQ16"``.
        search: search parameters by FAISS's names.

    Raises:
        MissingExtraError: without FAISS.

    Reference:
        M. Douze et al., "The Faiss library", 2024.
    """

    def __init__(self, factory: str, *, search: dict[str, float]) -> None:
        super().__init__()
        require("faiss", "faiss")
        self.factory = factory
        self.options = search
        self.handle: Any = None

    @property
    def library(self) -> ModuleType:
        """FAISS."""
        return require("faiss", "faiss")

    @property
    def documents(self) -> int:
        """How many embeddings there are."""
        return 0 if self.handle is None else self.handle.ntotal

    @property
    def dim(self) -> int:
        """The width of the embeddings."""
        return 0 if self.handle is None else self.handle.d

    def fill(self, embeddings: Tensor) -> None:
        """Make the index anew: train it where its kind is trained, and add the embeddings ``[documents, dim]``.

        Raises:
            InputError: for a string that FAISS does not know, or too few embeddings to train it.
        """
        vectors = embeddings.float().cpu().contiguous().numpy()
        try:
            handle = self.library.index_factory(vectors.shape[1], self.factory, self.library.METRIC_INNER_PRODUCT)
            handle.train(vectors)
            handle.add(vectors)
        except RuntimeError as error:
            raise InputError(
                f"faiss={self.factory!r}: FAISS refuses {len(vectors)} embeddings of {vectors.shape[1]} dimensions: "
                f"{_last_line(error)}"
            ) from error
        self._set(handle)

    def add(self, embeddings: Tensor) -> None:
        """Add embeddings ``[documents, dim]`` behind those there; the first ones fill the index.

        Raises:
            InputError: for embeddings of another width than those there, or as :meth:`fill` does.
        """
        if self.handle is None:
            self.fill(embeddings)
            return
        if embeddings.shape[1] != self.dim:
            raise InputError(f"embeddings: expected [documents, {self.dim}], got {list(embeddings.shape)}")
        self.handle.add(embeddings.float().cpu().contiguous().numpy())

    def search(self, queries: Tensor, k: int) -> Ranking:
        """The ``k`` documents that FAISS finds for each of ``[queries, dim]``; equal scores in order of rows."""
        scores, ids = self.handle.search(queries.detach().float().cpu().contiguous().numpy(), k)
        found = torch.from_numpy(ids).to(queries.device)
        return descending(found, torch.from_numpy(scores).to(queries.device), found >= 0)

    def write(self, folder: Path, *, name: str = FILE) -> None:
        """Write the index's file into a folder."""
        self.library.write_index(self.handle, str(folder / name))

    def to_bytes(self) -> Tensor:
        """The index as one tensor, uint8."""
        return torch.from_numpy(self.library.serialize_index(self.handle))

    def from_bytes(self, content: Tensor, documents: int | None = None) -> None:
        """Take what :meth:`to_bytes` gave, of so many documents; None = any.

        Raises:
            InputError: when it is damaged, or holds another number of documents.
        """
        try:
            handle = self.library.deserialize_index(content.cpu().numpy())
        except (RuntimeError, MemoryError) as error:
            raise InputError(f"the FAISS index is damaged ({_last_line(error)}): write the index again") from error
        if documents not in (None, handle.ntotal):
            raise InputError(f"the FAISS index holds {handle.ntotal} documents, not {documents}: write it again")
        self._set(handle)

    def get_extra_state(self) -> Tensor:
        """The index as one tensor, uint8; empty before there is one."""
        return torch.zeros(0, dtype=torch.uint8) if self.handle is None else self.to_bytes()

    def set_extra_state(self, state: Tensor) -> None:
        """Take what :meth:`get_extra_state` gave.

        Raises:
            InputError: when it is damaged.
        """
        if len(state):
            self.from_bytes(state)
        else:
            self.handle = None

    def read(self, folder: Path, documents: int, *, name: str = FILE) -> None:
        """Read what :meth:`write` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            InputError: when it is cut off or damaged, or holds another number of documents.
        """
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{folder} is no FAISS index: {name} is missing")
        try:
            handle = self.library.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            if not path.is_file():
                raise FileNotFoundError(f"{folder} is no FAISS index any more: {name} is gone") from error
            raise InputError(f"{path} is cut off or damaged ({_last_line(error)}): write the index again") from error
        if handle.ntotal != documents:
            raise InputError(f"{path} holds {handle.ntotal} documents, not {documents}: write the index again")
        self._set(handle)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"factory={self.factory!r}, documents={self.documents}"

    def _set(self, handle: Any) -> None:
        for name, value in self.options.items():
            try:
                self.library.ParameterSpace().set_index_parameter(handle, name, value)
            except RuntimeError as error:
                raise InputError(
                    f"faiss_search: {self.factory!r} takes no {name}={value}: {_last_line(error)}"
                ) from error
        self.handle = handle


def _last_line(error: BaseException) -> str:
    return str(error).strip().rsplit("\n", 1)[-1]
