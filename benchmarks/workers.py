"""Running a part of a case in a process of its own: with its own thread count and its own memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from rankgrad._checks import InputError

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class WorkerError(RuntimeError):
    """A worker failed; what it wrote to the terminal says why."""


def run_worker(module: str, job: dict[str, Any], *, threads: int, python: str | None = None) -> Any:
    """Run ``python -m module`` with a job and give back what it answers.

    Its terminal output goes to ours. Nothing is looked for on a hub.

    Args:
        python: an interpreter with what this one cannot have beside the rest; None = this one.

    Raises:
        WorkerError: when it does not start or exits with an error.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "job.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(job | {"threads": threads}), encoding="utf-8")
        sys.stdout.flush()
        command = [python or sys.executable, "-m", module, str(question), str(answer)]
        try:
            done = subprocess.run(command, cwd=ROOT, env={**os.environ, **threads_of(threads)}, check=False)
        except OSError as error:
            raise WorkerError(f"{command[0]} does not start: {error.strerror}") from error
        if done.returncode != 0:
            raise WorkerError(f"{module} ended with exit code {done.returncode}; its output is above")
        return json.loads(answer.read_text(encoding="utf-8"))


def threads_of(threads: int) -> dict[str, str]:
    """The environment of a process with so many threads, which looks for nothing on a hub."""
    return dict.fromkeys(_THREADS, str(threads)) | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def answer(work: Callable[[dict[str, Any]], Any]) -> None:
    """The body of a worker's ``__main__``: do the job in the first file, write the answer to the second."""
    if len(sys.argv) != 3:
        raise InputError("a worker is run by its case: python -m benchmarks CASE")
    import torch

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    Path(sys.argv[2]).write_text(json.dumps(work(job)), encoding="utf-8")
