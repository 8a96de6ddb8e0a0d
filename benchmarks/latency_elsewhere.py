"""sentence-transformers' ONNX backend in a process of another interpreter, which answers lists over a pipe."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.workers import WorkerError, threads_of

# That interpreter need not have this project's requirements, so it runs no module of it.
_SCRIPT = """
import json, sys
import torch
from sentence_transformers import CrossEncoder
folder, graph, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
model = CrossEncoder(folder, device="cpu", backend="onnx", model_kwargs={"file_name": graph})
identity = torch.nn.Identity()
for line in sys.stdin:
    query, documents = json.loads(line)
    scores = model.predict([(query, text) for text in documents], activation_fn=identity, show_progress_bar=False)
    print("scores " + json.dumps([float(score) for score in scores]), flush=True)
"""


class Elsewhere:
    """Scores of a query's documents, by a process that starts at the first of them and after :meth:`close`.

    What the pipe takes, less than a millisecond for 100 passages, counts too.

    Args:
        python: an interpreter with sentence-transformers and optimum-onnx.
        folder: a bundle.
        graph: the name of its graph.
        threads: of the process.

    Raises:
        WorkerError: when the process does not start or ends; what it wrote to the terminal says why.
    """

    def __init__(self, python: str, folder: Path, graph: str, threads: int) -> None:
        self.command = [python, "-c", _SCRIPT, str(folder), graph, str(threads)]
        self.environment = {**os.environ, **threads_of(threads)}
        self.process: subprocess.Popen[str] | None = None

    def __call__(self, query: str, documents: list[str]) -> np.ndarray:
        process = self.process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        # A process that has ended is told of below.
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps([query, documents]) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            if line.startswith("scores "):
                return np.array(json.loads(line.removeprefix("scores ")))
        raise WorkerError(f"the process of {self.command[0]} ended with exit code {self.close()}")

    def close(self) -> int:
        """Have the process end; gives its exit code, 0 where there is none."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.communicate()
        return process.returncode

    def _start(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(self.command, stdin=pipe, stdout=pipe, text=True, env=self.environment)
        except OSError as error:
            raise WorkerError(f"{self.command[0]} does not start: {error.strerror}") from error
