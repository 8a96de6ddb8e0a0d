"""Answers of systems kept on disk, found again by what they were answers of."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankgrad._checks import require
from rankgrad._files import atomic_file
from rankgrad.data import Task
from rankgrad.evaluation.fingerprint import settings_fingerprint, task_fingerprint
from rankgrad.evaluation.measure import Measured
from rankgrad.types import Ranking

# Raised whenever what a file holds changes its meaning.
FORMAT_VERSION = 1


class AnswerCache:
    """A folder of rankings with their times, one file for each system and task.

    A file's name is a digest of the system's settings and of the task's documents and queries: other settings or texts
    find nothing, and the answers are made anew. Files appear whole or not at all; one that is damaged is as good as
    none. Times are those of the run that made the answers.

    Args:
        folder: made when the first answer is written. Remove it to measure everything anew.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, settings: Any, task: Task) -> Path:
        """Where the answers of such a system to such a task are kept.

        Args:
            settings: plain values that say all that its answers depend on.
            task: what was asked.

        Raises:
            TypeError: for settings that are not plain values.
        """
        key = settings_fingerprint({"format": FORMAT_VERSION, "system": settings, "task": task_fingerprint(task)})
        return self.folder / f"{key}.safetensors"

    def read(self, settings: Any, task: Task) -> Measured | None:
        """The answers; None where there are none, or damaged ones (with a warning)."""
        safetensors = require("safetensors", "text")
        path = self.path(settings, task)
        if not path.is_file():
            return None
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                said = (file.metadata() or {}).get("sha256")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, OSError) as error:
            return _damaged(path, error)
        if set(tensors) != {"ids", "scores", "mask", "milliseconds"} or said != _digest(tensors):
            return _damaged(path, "its digest is another")
        milliseconds = tensors.pop("milliseconds").tolist()
        return Measured(Ranking(**tensors), milliseconds)

    def write(self, settings: Any, task: Task, measured: Measured) -> None:
        """Keep answers."""
        save_file = require("safetensors.torch", "text").save_file
        times = torch.tensor(measured.milliseconds, dtype=torch.float64)
        tensors = {**measured.ranking._asdict(), "milliseconds": times}
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        with atomic_file(self.path(settings, task)) as temporary:
            save_file(tensors, temporary, metadata={"sha256": _digest(tensors)})


def _damaged(path: Path, why: object) -> None:
    warnings.warn(f"{path} is damaged ({why}): its answers are made anew", RuntimeWarning, stacklevel=3)


def _digest(tensors: dict[str, Tensor]) -> str:
    """Of all bytes, which safetensors itself does not check."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
