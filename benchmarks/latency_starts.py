"""From nothing to the first answer: processes that import, load, score one list, and say what they hold."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.latency import FLASHRANK_NAME, GRAPHS
from benchmarks.machine import ROOT
from benchmarks.workers import WorkerError

_OURS = """
from rankgrad import deploy
model = deploy.load({folder!r}, variant={variant!r})
found = [result.score for result in model.rerank(query, documents)]
"""
_FLASHRANK = """
from flashrank import Ranker, RerankRequest
model = Ranker(model_name={name!r}, cache_dir={folder!r}, log_level="WARNING")
passages = [dict(id=place, text=text) for place, text in enumerate(documents)]
found = [each["score"] for each in model.rerank(RerankRequest(query=query, passages=passages))]
"""
_TORCH = """
import torch
from rankgrad.models import CrossEncoder
model = CrossEncoder.from_pretrained({folder!r})
with torch.inference_mode():
    found = model.score([query] * len(documents), documents).tolist()
"""
_AHEAD = """
from rankgrad.export import load_package
found = load_package({folder!r}).score([query] * len(documents), documents).tolist()
"""
_PEER = """
from sentence_transformers import CrossEncoder
found = CrossEncoder({folder!r}, device="cpu").predict([(query, text) for text in documents]).tolist()
"""
_SCRIPT = """
import json, sys
query, documents = json.loads(sys.stdin.read())
{body}
print(json.dumps(len(found)), flush=True)
from benchmarks.measure import memory
print(json.dumps(memory()), flush=True)
"""


class Start(NamedTuple):
    """Milliseconds from the start of a process to its first answer, and MiB that it holds then."""

    milliseconds: float
    mebibytes: float


def starts(job: dict[str, Any], documents: list[str], *, rounds: int) -> dict[str, list[Start]]:
    """Starts of each provider, one of each a round; a round beforehand fills the system's file caches."""
    found: dict[str, list[Start]] = {}
    scripts = _scripts(Path(job["folder"]))
    for _ in range(rounds + 1):
        for name, body in scripts.items():
            found.setdefault(name, []).append(start(name, body, job["query_text"], documents))
    return {name: samples[1:] for name, samples in found.items()}


def start(name: str, body: str, query: str, documents: list[str]) -> Start:
    """One start.

    Raises:
        WorkerError: when the process fails, or scores another number of documents.
    """
    command = [sys.executable, "-c", _SCRIPT.format(body=body)]
    pipe = subprocess.PIPE
    began = time.perf_counter()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([query, documents]))
        process.stdin.close()
        first = process.stdout.readline()
        milliseconds = (time.perf_counter() - began) * 1e3
        second = process.stdout.read()
    if process.returncode != 0 or json.loads(first) != len(documents):
        raise WorkerError(f"starting {name}: exit code {process.returncode}, answer {first!r}; its output is above")
    return Start(milliseconds, json.loads(second))


def _scripts(folder: Path) -> dict[str, str]:
    """The program of each provider that is there."""
    bundle, model, package = (str(folder / name) for name in ("bundle", "model", "package"))
    scripts = {f"rankgrad deploy {variant}": _OURS.format(folder=bundle, variant=variant) for variant in GRAPHS}
    if Path(package).is_dir():
        scripts["rankgrad AOTInductor"] = _AHEAD.format(folder=package)
    scripts["rankgrad torch"] = _TORCH.format(folder=model)
    if find_spec("flashrank") is not None:
        for variant in GRAPHS:
            cache = str(folder / f"flashrank_{variant}")
            scripts[f"FlashRank {variant}"] = _FLASHRANK.format(name=FLASHRANK_NAME, folder=cache)
    if find_spec("sentence_transformers") is not None:
        scripts["sentence-transformers torch"] = _PEER.format(folder=model)
    return scripts
