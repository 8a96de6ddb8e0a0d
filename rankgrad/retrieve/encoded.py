"""An encoded corpus on disk: shards of vectors, read one after another from mapped files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError, require
from rankgrad._files import atomic_file
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.types import PackedTokens

MANIFEST = "manifest.json"
FORMAT_VERSION = 1

Vectors: TypeAlias = Tensor | SparseRows | PackedTokens
"""One vector a document, sparse rows, or token embeddings."""


class Shard(NamedTuple):
    """Documents that follow each other, encoded.

    Args:
        start: the row of the first.
        ids: their names.
        vectors: in the order of the corpus.
    """

    start: int
    ids: tuple[str, ...]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, end: int) -> Shard:
        """The documents from ``start`` up to ``end``, counted inside the shard."""
        end = min(end, len(self.ids))
        return Shard(self.start + start, self.ids[start:end], _part(self.vectors, start, end))


class EncodedCorpus:
    """What :func:`rankgrad.training.encode_corpus` wrote.

    Args:
        folder: where it is.

    Raises:
        FileNotFoundError: without a manifest.
        InputError: for a damaged manifest, or one of another kind.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_manifest(folder, {"documents": 3, "shard_size": 2})
        >>> write_shard(folder, Shard(0, ("a", "b"), torch.tensor([[1.0], [2.0]])))
        >>> write_shard(folder, Shard(2, ("c",), torch.tensor([[3.0]])))
        >>> corpus = EncodedCorpus(folder)
        >>> [(shard.start, shard.ids) for shard in corpus], corpus.vectors().tolist()
        ([(0, ('a', 'b')), (2, ('c',))], [[1.0], [2.0], [3.0]])
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.settings = read_manifest(self.folder)
        try:
            self.documents, self.shard_size = int(self.settings["documents"]), int(self.settings["shard_size"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.folder / MANIFEST} is no complete manifest ({error!r}): encode again") from error

    def __len__(self) -> int:
        """How many shards there are, those not written yet included."""
        return -(-self.documents // self.shard_size)

    def __iter__(self) -> Iterator[Shard]:
        """The shards in order, each mapped into memory when its turn comes.

        Raises:
            InputError: for one that is missing, cut off, or of other documents.
        """
        for number in range(len(self)):
            yield self.shard(number)

    def rows(self, number: int) -> range:
        """The rows of a shard's documents."""
        return range(number * self.shard_size, min((number + 1) * self.shard_size, self.documents))

    def shard(self, number: int) -> Shard:
        """One shard.

        Raises:
            InputError: when it is missing, cut off, or of other documents.
        """
        rows, path = self.rows(number), shard_path(self.folder, number)
        if not path.is_file():
            raise InputError(f"{path} is missing: the same encoding command goes on where it stopped")
        shard = _read(path, rows.start)
        if len(shard) != len(rows) or _rows_of(shard.vectors) != len(rows):
            raise InputError(f"{path} holds {len(shard)} documents, expected {len(rows)}: remove it and encode again")
        return shard

    def missing(self) -> list[int]:
        """The shards that are not there, or not whole."""
        found = []
        for number in range(len(self)):
            try:
                self.shard(number)
            except InputError:
                found.append(number)
        return found

    def ids(self) -> tuple[str, ...]:
        """The documents' names, in order."""
        return tuple(name for shard in self for name in shard.ids)

    def vectors(self) -> Vectors:
        """All vectors in memory, as :class:`rankgrad.retrieve.DenseRetriever` or ``SparseRetriever`` takes them."""
        return joined(list(self)).vectors


def joined(shards: Sequence[Shard]) -> Shard:
    """Shards that follow each other as one, in memory."""
    ids = tuple(name for shard in shards for name in shard.ids)
    parts = [shard.vectors for shard in shards]
    if isinstance(parts[0], Tensor):
        return Shard(shards[0].start, ids, torch.cat(cast(list[Tensor], parts)))
    kind: Any = type(parts[0])
    fields = list(zip(*cast(list[tuple[Tensor, ...]], parts), strict=True))
    lengths = torch.cat([ends.diff() for ends in fields.pop()])
    cu_seqlens = pad(lengths.cumsum(0), (1, 0)).to(lengths.dtype)
    return Shard(shards[0].start, ids, kind(*map(torch.cat, fields), cu_seqlens))


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard is."""
    return folder / f"{number:06d}.safetensors"


def write_manifest(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what the corpus is, before its shards."""
    with atomic_file(folder / MANIFEST) as temporary:
        content = {"format_version": FORMAT_VERSION, **settings}
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What :func:`write_manifest` wrote.

    Raises:
        FileNotFoundError: when there is none.
        InputError: when it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is no encoded corpus: {MANIFEST} is missing")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): encode again") from error
    if not isinstance(settings, dict) or settings.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{path} is of another format than {FORMAT_VERSION}: encode again")
    return settings


def write_shard(folder: Path, shard: Shard, *, number: int | None = None) -> None:
    """Write a shard, as a whole or not at all; None = its place by the manifest's shard size."""
    save_file = require("safetensors.torch", "text").save_file
    if number is None:
        number = shard.start // int(read_manifest(folder)["shard_size"])
    vectors = shard.vectors
    tensors = {"embeddings": vectors} if isinstance(vectors, Tensor) else vectors._asdict()
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(shard_path(folder, number)) as temporary:
        save_file(held, temporary, metadata={"ids": json.dumps(shard.ids, ensure_ascii=False)})


def _read(path: Path, start: int) -> Shard:
    safetensors = require("safetensors", "text")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
            ids = tuple(json.loads((file.metadata() or {})["ids"]))
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is cut off or damaged ({error}): remove it and encode again") from error
    kinds: Sequence[Any] = (SparseRows, PackedTokens)
    for kind in kinds:
        if names == set(kind._fields):
            return Shard(start, ids, kind(**tensors))
    if names != {"embeddings"}:
        raise InputError(f"{path} holds {', '.join(sorted(names))}, no encoded documents: remove it and encode again")
    return Shard(start, ids, tensors["embeddings"])


def _rows_of(vectors: Vectors) -> int:
    return len(vectors) if isinstance(vectors, Tensor) else len(vectors.cu_seqlens) - 1


def _part(vectors: Vectors, start: int, end: int) -> Vectors:
    if isinstance(vectors, Tensor):
        return vectors[start:end]
    inside = slice(int(vectors.cu_seqlens[start]), int(vectors.cu_seqlens[end]))
    cu_seqlens = vectors.cu_seqlens[start : end + 1] - vectors.cu_seqlens[start]
    if isinstance(vectors, SparseRows):
        return SparseRows(vectors.indices[inside], vectors.values[inside], cu_seqlens)
    return PackedTokens(vectors.embeddings[inside], cu_seqlens)
