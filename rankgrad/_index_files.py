"""An index on disk: tensors in safetensors beside their settings in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError, require
from rankgrad._files import atomic_folder, check_replaceable

if TYPE_CHECKING:
    from torch import Tensor

SETTINGS = "index.json"
TENSORS = "index.safetensors"
FORMAT_VERSION = 1


def write_index(folder: str | Path, kind: str, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    """Write an index as a whole or not at all.

    Args:
        folder: a new or empty folder, or an older index, which is replaced.
        kind: which stage reads it.
        tensors: the buffers.
        settings: plain values.

    Raises:
        InputError: when the folder holds other files.
    """
    save_file = require("safetensors.torch", "text").save_file
    check_replaceable(folder, SETTINGS)
    with atomic_folder(folder) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary / TENSORS)
        content = {"format_version": FORMAT_VERSION, "kind": kind, **settings}
        (temporary / SETTINGS).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_index(folder: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_index` wrote.

    Raises:
        FileNotFoundError: when one of the two files is missing.
        InputError: when one is cut off or damaged, or the index is of another kind.
    """
    safetensors = require("safetensors", "text")
    load_file = require("safetensors.torch", "text").load_file
    folder = Path(folder)
    for name in (SETTINGS, TENSORS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no index: {name} is missing")
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder / SETTINGS}:{getattr(error, 'lineno', 1)}: {error}: write the index again"
        ) from error
    found = (settings.get("kind"), settings.get("format_version")) if isinstance(settings, dict) else None
    if found != (kind, FORMAT_VERSION):
        raise InputError(
            f"{folder / SETTINGS} describes {found}, expected {(kind, FORMAT_VERSION)}: name another folder"
        )
    try:
        return load_file(folder / TENSORS), settings
    except safetensors.SafetensorError as error:
        raise InputError(f"{folder / TENSORS} is cut off or damaged ({error}): write the index again") from error
