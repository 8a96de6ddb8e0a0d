"""Checkpoints that are never half written, never run foreign code, and are found again after a kill."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import CheckpointIO
from pytorch_lightning.strategies import FSDPStrategy, ModelParallelStrategy, Strategy

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
        InputError: when it is cut short, damaged, a folder, or no training checkpoint.
    """
    path = Path(path)
    _check_file(path)
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
        InputError: when there are checkpoints and all are damaged, or a later one is a folder.
    """
    damaged = []
    for path in checkpoints_in(folder):
        _check_file(path)
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


def check_one_file(strategy: Strategy) -> None:
    """Refuse a strategy that leaves weights in parts: in checkpoints that are folders, or in ``best/``.

    Raises:
        InputError: for FSDP1, and for FSDP2 with ``save_distributed_checkpoint``; naming what to take instead.
    """
    if isinstance(strategy, FSDPStrategy):
        raise InputError(
            "trainer.strategy: FSDPStrategy (FSDP1) would leave a part of each weight in best/: take FSDP2, as "
            "configs/trainer/fsdp.yaml does"
        )
    if isinstance(strategy, ModelParallelStrategy) and strategy._save_distributed_checkpoint:
        raise InputError(
            "trainer.strategy: ModelParallelStrategy would write checkpoints that cannot be resumed from, a folder "
            "each: set its save_distributed_checkpoint to false, as configs/trainer/fsdp.yaml does"
        )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, of a strategy with save_distributed_checkpoint=true, and cannot be read: remove it "
            "to go on from the checkpoint before it, or start the run again with --overwrite"
        )
