"""The models of an experiment, each opened once, and the digests of what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.cli._first_stage import as_colbert
from rankgrad.cli._load import is_bundle
from rankgrad.cli._rank import open_model
from rankgrad.evaluation.fingerprint import file_fingerprint, folder_fingerprint
from rankgrad.models import DenseEncoder, SparseEncoder
from rankgrad.models._folder import MINILM, resolve
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.types import Variant

if TYPE_CHECKING:
    from rankgrad.cli._first_stage import ColBERT
    from rankgrad.retrieve import DenseTextEncoder


class Cosines:
    """Embeddings of length 1 of a dense encoder that compares by cosine and gives others."""

    def __init__(self, encoder: DenseTextEncoder) -> None:
        self.encoder = encoder

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        return normalize(torch.as_tensor(self.encoder.encode_queries(texts)), dim=-1)

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        return normalize(torch.as_tensor(self.encoder.encode_documents(texts)), dim=-1)


class SparseTensors:
    """The rows of an exported sparse encoder as tensors."""

    def __init__(self, encoder: deploy.SparseEncoder) -> None:
        self.encoder, self.width = encoder, encoder.width

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        return SparseRows(*map(torch.from_numpy, self.encoder.encode_queries(texts)))

    def encode_documents(self, texts: Sequence[str]) -> SparseRows:
        return SparseRows(*map(torch.from_numpy, self.encoder.encode_documents(texts)))


class Models:
    """Opens models, trained or exported, and keeps them."""

    def __init__(self) -> None:
        self._opened: dict[tuple[str, Path, Variant | None], Any] = {}
        self._digests: dict[Path, str] = {}

    def ranker(self, folder: Path, variant: Variant | None) -> Any:
        """A cross-encoder or a ColBERT.

        Raises:
            InputError: as :func:`rankgrad.cli._rank.open_model`.
        """
        key = ("ranker", folder, variant)
        if key not in self._opened:
            self._opened[key] = open_model(folder, variant)
        return self._opened[key]

    def colbert(self, folder: Path, variant: Variant | None) -> ColBERT:
        """A ColBERT.

        Raises:
            InputError: for something else.
        """
        return as_colbert(self.ranker(folder, variant), folder)

    def dense(self, folder: Path, variant: Variant | None) -> DenseTextEncoder:
        """A dense encoder; the dot products of its embeddings are what the model compares by, cosines or not.

        Raises:
            InputError: for something else, or a variant of no bundle.
        """
        key = ("dense", folder, variant)
        if key not in self._opened:
            model = _bundle(folder, variant) or DenseEncoder.from_pretrained(folder)
            if not isinstance(model, (DenseEncoder, deploy.DenseEncoder)):
                raise _other(folder, model, "dense")
            cosines = model.similarity == "cosine" and not model.normalize
            self._opened[key] = Cosines(model) if cosines else model
        return self._opened[key]

    def sparse(self, folder: Path, variant: Variant | None) -> SparseEncoder | SparseTensors:
        """A sparse encoder.

        Raises:
            InputError: for something else, or a variant of no bundle.
        """
        key = ("sparse", folder, variant)
        if key not in self._opened:
            model = _bundle(folder, variant) or SparseEncoder.from_pretrained(folder)
            if not isinstance(model, (SparseEncoder, deploy.SparseEncoder)):
                raise _other(folder, model, "sparse")
            self._opened[key] = SparseTensors(model) if isinstance(model, deploy.SparseEncoder) else model
        return self._opened[key]

    def digest(self, path: Path) -> str:
        """Of the contents of a folder of a model or an index, or of a file; read once."""
        if path not in self._digests:
            self._digests[path] = file_fingerprint(path) if path.is_file() else folder_fingerprint(model_folder(path))
        return self._digests[path]


def model_folder(path: Path) -> Path:
    """Where a model lies; the packaged one has a name alone."""
    return Path(resolve(MINILM)) if str(path) == MINILM else path


def _bundle(folder: Path, variant: Variant | None) -> Any:
    """What a bundle holds; None for a folder that is none.

    Raises:
        InputError: for a variant of such a folder.
    """
    if str(folder) != MINILM and is_bundle(folder):
        return deploy.load(folder, variant=variant or "fp32")
    if variant is not None:
        raise InputError(f"variant {variant!r}: {folder} is no bundle; make one with `rankgrad export {folder}`")
    return None


def _other(folder: Path, model: object, kind: str) -> InputError:
    return InputError(f"{folder} holds a {type(model).__name__}, no {kind} encoder: name another folder or kind")
