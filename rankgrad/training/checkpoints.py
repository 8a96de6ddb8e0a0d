"""Checkpoints that are never half written, never run foreign code, and are found again after a kill."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO

from rankgrad._checks import InputError
from rankgrad._files import atomic_file


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoint files, written to the disk whole or not at all and read as plain tensors and values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; it is on the disk when this returns."""
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; classes named in the file are never run, whatever ``weights_only`` says."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a training checkpoint on the CPU.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: when it is cut short, damaged, or no training checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint not found: {path}")
    remedy = "resume from an earlier checkpoint of the run, or start the run again"
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is damaged or no checkpoint: {remedy}") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "global_step", "loops"} <= checkpoint.keys():
        raise InputError(f"{path} is no training checkpoint of rankgrad: {remedy}")
    return checkpoint


def checkpoint_path(folder: str | Path, step: int) -> Path:
    """Where the checkpoint after ``step`` optimizer steps lies; names sort by step."""
    return Path(folder) / f"step-{step:08d}.ckpt"


def checkpoints_in(folder: str | Path) -> list[Path]:
    """The checkpoints of a folder, latest first."""
    return sorted(Path(folder).glob("step-*.ckpt"), reverse=True)


def last_good_checkpoint(folder: str | Path) -> tuple[Path | None, list[Path]]:
    """Find the latest checkpoint that can be read.

    Returns:
        Its path, or None where the folder has none at all; and the damaged ones that are later.

    Raises:
        InputError: when there are checkpoints and all are damaged.
    """
    damaged = []
    for path in checkpoints_in(folder):
        try:
            read_checkpoint(path)
        except FileNotFoundError:
            continue  # Another process of the run has just set it aside.
        except InputError:
            damaged.append(path)
        else:
            return path, damaged
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise InputError(f"every checkpoint in {folder} is damaged ({names}): start the run again with --overwrite")
    return None, []
