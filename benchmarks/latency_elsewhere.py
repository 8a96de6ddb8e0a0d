"""sentence-transformers' ONNX backend in a process of another interpreter, which answers lists over a pipe."""

from __future__ import annotations

import json
import os
import subprocess
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
    """Scores of a query's documents. What the pipe takes, less than a millisecond for 100 passages, counts too.

    Args:
        python: an interpreter with sentence-transformers and optimum-onnx.
        folder: a bundle.
        graph: the name of its graph.
        threads: of the process.

    Raises:
        WorkerError: when the process does not start or ends; what it wrote to the terminal says why.
    """

    def __init__(self, python: str, folder: Path, graph: str, threads: int) -> None:
        self.python = python
        command = [python, "-c", _SCRIPT, str(folder), graph, str(threads)]
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **threads_of(threads)}
            )
        except OSError as error:
            raise WorkerError(f"{python} does not start: {error.strerror}") from error

    def __call__(self, query: str, documents: list[str]) -> np.ndarray:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([query, documents]) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it says so below
        for line in self.process.stdout:
            if line.startswith("scores "):
                return np.array(json.loads(line.removeprefix("scores ")))
        raise WorkerError(f"the process of {self.python} ended with exit code {self.close()}")

    def close(self) -> int:
        """Have the process end; gives its exit code."""
        self.process.communicate()
        return self.process.returncode
