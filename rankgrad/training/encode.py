"""Encoding a corpus by several processes, shard by shard."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import nn
from torch.utils.data import DataLoader

from rankgrad._checks import InputError, check_texts
from rankgrad._digest import digest_of_texts
from rankgrad._files import check_replaceable
from rankgrad._modes import frozen
from rankgrad.data import Texts
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.retrieve.encoded import (
    MANIFEST,
    EncodedCorpus,
    Shard,
    Vectors,
    joined,
    read_manifest,
    write_manifest,
    write_shard,
)
from rankgrad.training.progress import progress_bar
from rankgrad.training.quiet import quiet_lightning
from rankgrad.types import PackedTokens

# Batches that are sorted by length together, so that little is padded.
_BATCHES = 16


class _Piece(NamedTuple):
    """Documents encoded in one step."""

    start: int
    ids: tuple[str, ...]
    texts: tuple[str, ...]


class DocumentEncoder(Protocol):
    """What is needed of a dense, sparse or late-interaction encoder; it is a module too."""

    def encode_documents(self, texts: Sequence[str], *, batch_size: int) -> Any: ...


def encode_corpus(
    model: DocumentEncoder,
    documents: Texts,
    folder: str | Path,
    *,
    devices: int = 1,
    accelerator: str = "auto",
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    dtype: torch.dtype = torch.float32,
    shard_size: int = 10_000,
    batch_size: int = 32,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> EncodedCorpus | None:
    """Encode the documents into a folder of shards with Lightning's ``Trainer.predict``.

    Each of ``devices`` processes takes every so-many-th shard that is missing, and writes it as a whole or not at all.
    Stopped, the same call encodes the shards that are not there, or not whole, also with another number of processes.
    With several, Lightning starts the calling script again for each; so calls stand behind ``__name__ == "__main__"``.

    Args:
        model: the encoder, a module.
        documents: the corpus.
        folder: new, empty, or of an earlier run.
        devices: how many processes, and GPUs.
        accelerator: as in Lightning: ``"auto"``, ``"cpu"``, ``"gpu"``.
        precision: of the computation, as in Lightning.
        dtype: of the numbers written.
        shard_size: documents a shard.
        batch_size: documents encoded together.
        settings: what else the vectors depend on, as JSON; a folder made with others is refused.
        overwrite: begin anew in a folder of an earlier run.
        progress: show a bar, or lines where standard error is no terminal.

    Returns:
        The corpus; None in the processes but the first.

    Raises:
        InputError: for no documents, sizes below 1, a folder of other files, or one made of another corpus, with
            another shard size or other settings.
    """
    check_texts(documents.texts, "document", allow_blank=True)
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected an encoder that is a module, got {type(model).__name__}")
    for name, value in (("devices", devices), ("shard_size", shard_size), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name}={value}: expected at least 1")
    folder = Path(folder)
    content = {
        "documents": len(documents),
        "shard_size": shard_size,
        "texts": digest_of_texts((*documents.ids, *documents.texts)),
    }
    content |= json.loads(json.dumps({"dtype": str(dtype).removeprefix("torch."), "settings": dict(settings or {})}))
    if getattr(rank_zero_only, "rank", 0) == 0:
        _prepare(folder, content, overwrite)
        if devices == 1 and not EncodedCorpus(folder).missing():
            return EncodedCorpus(folder)
    with quiet_lightning(), warnings.catch_warnings():
        # A process for which nothing is left.
        warnings.filterwarnings("ignore", message=r".*DataLoader.* zero")
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=devices,
            strategy="auto" if devices == 1 else "ddp",
            precision=precision,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress,
            use_distributed_sampler=False,
            inference_mode=True,
            callbacks=[progress_bar()] if progress else [],
        )
        pieces = _Pieces(folder, documents, _BATCHES * batch_size)
        trainer.predict(_Encoding(model, folder, batch_size, dtype), datamodule=pieces, return_predictions=False)
    return EncodedCorpus(folder) if trainer.is_global_zero else None


class _Pieces(pl.LightningDataModule):
    """This process's share of the missing shards, a piece at a time."""

    def __init__(self, folder: Path, documents: Texts, piece_size: int) -> None:
        super().__init__()
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.corpus_folder, self.documents, self.piece_size = folder, documents, piece_size
        self.missing: list[int] = []

    def setup(self, stage: str) -> None:
        """Learn from the first process what is missing: others may look when it has written a shard already."""
        trainer = _trainer_of(self)
        found = EncodedCorpus(self.corpus_folder).missing() if trainer.is_global_zero else []
        self.missing = trainer.strategy.broadcast(found)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Rows and their texts."""
        trainer, corpus = _trainer_of(self), EncodedCorpus(self.corpus_folder)
        pieces = [
            rows[start : start + self.piece_size]
            for rows in map(corpus.rows, self.missing[trainer.global_rank :: trainer.world_size])
            for start in range(0, len(rows), self.piece_size)
        ]
        return DataLoader(pieces, batch_size=None, collate_fn=self._piece)  # type: ignore[arg-type]

    def _piece(self, rows: range) -> _Piece:
        inside = slice(rows.start, rows.stop)
        return _Piece(rows.start, self.documents.ids[inside], self.documents.texts[inside])


class _Encoding(pl.LightningModule):
    """Encodes pieces and writes a shard when it has all of its."""

    def __init__(self, model: nn.Module, folder: Path, batch_size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.corpus, self.batch_size, self.vector_type = EncodedCorpus(folder), batch_size, dtype
        self.parts: list[Shard] = []

    def predict_step(self, batch: _Piece, batch_idx: int) -> int:
        """Encode one piece; how many documents it had."""
        encoder = cast(DocumentEncoder, self.model)
        with frozen(self.model):
            vectors = encoder.encode_documents(batch.texts, batch_size=self.batch_size)
        self.parts.append(Shard(batch.start, batch.ids, _stored(vectors, self.vector_type)))
        number = batch.start // self.corpus.shard_size
        if batch.start + len(batch.ids) == self.corpus.rows(number).stop:
            write_shard(self.corpus.folder, joined(self.parts), number=number)
            self.parts = []
        return len(batch.ids)


def _prepare(folder: Path, content: dict[str, Any], overwrite: bool) -> None:
    check_replaceable(folder, MANIFEST, in_place=True)
    if (folder / MANIFEST).is_file() and not overwrite:
        there = read_manifest(folder)
        differing = sorted(name for name in content if there.get(name) != content[name])
        if differing:
            raise InputError(
                f"{folder} was encoded with other {', '.join(differing)}: name another folder, or overwrite it"
            )
        return
    _check_ours(folder)
    for shard in _shards(folder):
        shard.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, content)


def _shards(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.safetensors") if path.stem.isdecimal()]


def _check_ours(folder: Path) -> None:
    """Refuse a manifest of something else: other programs call theirs so too."""
    path = folder / MANIFEST
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ours = isinstance(content, dict) and "shard_size" in content
    except ValueError:  # damaged: then all else has to be shards
        ours = len(list(folder.iterdir())) == len(_shards(folder)) + 1
    if not ours:
        raise InputError(f"{path} is not that of an encoded corpus: name another folder")


def _stored(vectors: Any, dtype: torch.dtype) -> Vectors:
    """On the CPU, numbers in the type that is written."""
    if isinstance(vectors, SparseRows):
        return SparseRows(vectors.indices.cpu(), vectors.values.to("cpu", dtype), vectors.cu_seqlens.cpu())
    if isinstance(vectors, PackedTokens):
        return PackedTokens(vectors.embeddings.to("cpu", dtype), vectors.cu_seqlens.cpu())
    return torch.as_tensor(vectors).to("cpu", dtype)


def _trainer_of(pieces: pl.LightningDataModule) -> pl.Trainer:
    if pieces.trainer is None:
        raise RuntimeError("only a trainer asks for pieces")
    return pieces.trainer
