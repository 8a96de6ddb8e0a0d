"""A late-interaction index as the tensors and settings of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad._index_files import read_index
from rankgrad.modules.muvera import Muvera
from rankgrad.retrieve._late_index import LateIndex
from rankgrad.retrieve._text_tensors import pack_texts, unpack_texts

KIND = "late_interaction_retriever"
_TEXTS = "texts."


class State(NamedTuple):
    """What a file holds: an index, the documents' numbers and texts, and what the caller wrote beside it."""

    collection: LateIndex
    ids: Tensor
    next_id: int
    texts: tuple[str, ...] | None
    notes: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """By name."""
        texts = {} if self.texts is None else pack_texts(self.texts)
        return {"ids": self.ids} | self.collection.tensors() | {_TEXTS + name: part for name, part in texts.items()}

    def settings(self) -> dict[str, Any]:
        """Plain values."""
        settings = {"documents": len(self.ids), "next_id": self.next_id, "notes": self.notes}
        return settings | self.collection.settings()


def index_notes(folder: str | Path) -> dict[str, Any]:
    """What was written beside a late-interaction index, see :meth:`LateInteractionRetriever.save_index`.

    Raises:
        FileNotFoundError: when a file of the index is missing.
        InputError: when one is damaged, or the index is of another kind.
    """
    return dict(read_index(folder, KIND)[1].get("notes", {}))


def empty_index(folder: str | Path, settings: dict[str, Any], *, faiss_search: dict[str, float]) -> LateIndex:
    """An index without documents, of the settings that a file has.

    Raises:
        InputError: for settings that are not complete, or search parameters where there is no FAISS index.
    """
    if faiss_search and settings.get("factory") is None:
        raise InputError(f"faiss_search={faiss_search}: {folder} has no FAISS index: leave it out")
    try:
        muvera = None if settings["muvera"] is None else Muvera(**settings["muvera"])
        return LateIndex(settings["codec"], muvera, factory=settings["factory"], faiss_search=faiss_search)
    except (KeyError, TypeError, InputError) as error:
        raise _incomplete(folder, error) from error


def restored(
    folder: str | Path,
    collection: LateIndex,
    texts: tuple[str, ...] | None,
    tensors: dict[str, Tensor],
    settings: dict[str, Any],
) -> State:
    """What the files of an index hold.

    Args:
        folder: named in messages.
        collection: an index of the same settings; its documents are not looked at.
        texts: the collection that it must be of; None = any.
        tensors, settings: from :func:`rankgrad._index_files.read_index`.

    Raises:
        InputError: for another codec, MUVERA, factory or collection, or files that are not complete.
    """
    for name, own in collection.settings().items():
        if name not in settings:
            raise _incomplete(folder, KeyError(name))
        if settings[name] != own:
            raise InputError(f"{folder} is of {name}={settings[name]!r}, not {own!r}: make the retriever with that")
    options: dict[str, Any] = {"factory": collection.factory, "faiss_search": collection.faiss_search}
    made = LateIndex(collection.codec, collection.muvera, **options)
    try:
        ids, count = tensors["ids"], settings["documents"]
        if ids.dtype != torch.int64 or ids.shape != (count,) or len(ids.unique()) != count:
            raise InputError(f"ids: expected {count} distinct numbers, got {list(ids.shape)}")
        made.restore(tensors, count)
        packed = {name.removeprefix(_TEXTS): part for name, part in tensors.items() if name.startswith(_TEXTS)}
        saved = unpack_texts(packed) if packed else None
        next_id, notes = int(settings["next_id"]), dict(settings["notes"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(folder, error) from error
    if texts is not None and (count != len(texts) or (saved is not None and saved != texts)):
        raise InputError(
            f"{folder} indexes {count} other documents than these {len(texts)}: pass the same ones, or none"
        )
    return State(made, ids, next_id, saved if texts is None else texts, notes)


def _incomplete(folder: str | Path, error: Exception) -> InputError:
    return InputError(f"{folder} is no complete index ({error}): write it again")
