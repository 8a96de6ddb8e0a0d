"""Deployment: milliseconds a query of one cross-encoder in every form it can be served in, beside other libraries.

All read the same weights, the same query of 8 tokens and passages of 120, of real words, on every core they may use.
How long a process takes to its first answer, and what it holds then, is measured in processes of their own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.options import OPTIMUM, Options
from benchmarks.random_model import source
from benchmarks.record import Row
from benchmarks.texts import documentation, exact_texts
from benchmarks.workers import run_worker
from rankgrad._checks import InputError
from rankgrad.deploy.cores import usable_cores

CASE = "latency"
MILLISECONDS = "time a query"
START = "start to the first answer"
RESIDENT = "resident memory after it"
# FlashRank opens models of its own list only: a folder of such a name, with a graph of such a name.
FLASHRANK_NAME, FLASHRANK_FILE = "ms-marco-MiniLM-L-12-v2", "flashrank-MiniLM-L-12-v2_Q.onnx"
GRAPHS = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}


def setting(candidates: int, threads: int) -> str:
    """The name of a setting."""
    return f"{candidates} candidates, {threads} thread{'s' if threads > 1 else ''}"


def run(options: Options) -> list[Row]:
    """Make the model, its bundle and the layouts of others once; then measure in a process of its own."""
    if options.device != "cpu":
        raise InputError(f"--device {options.device}: the latency case compares libraries on a CPU; leave it out")
    sizes = {"query": 4, "passage": 8, "candidates": [2, 3]} if options.quick else {}
    job: dict[str, Any] = {"query": 8, "passage": 120, "candidates": [10, 100], **sizes}
    with tempfile.TemporaryDirectory() as folder:
        job |= {"quick": options.quick, "folder": folder, "optimum": options.pythons.get(OPTIMUM)}
        job |= _prepare(options, Path(folder), job)
        rows = run_worker("benchmarks.latency_worker", job, threads=usable_cores())
    return [Row(CASE, *each) for each in rows]


def _prepare(options: Options, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write the model, the bundle and what FlashRank reads; give back the texts."""
    import torch

    from benchmarks.rerank import spread_scores
    from rankgrad.export import export_bundle
    from rankgrad.models import CrossEncoder
    from rankgrad.training import quiet_lightning

    torch.manual_seed(0)
    model = CrossEncoder.from_pretrained(source(options.model, folder, quick=options.quick), head="cls")
    spread_scores(model)
    task = documentation(quick=options.quick)
    tokenizer = model.tokenizer.tokenizer
    passages = exact_texts(tokenizer, task.documents.texts, tokens=job["passage"], count=max(job["candidates"]))
    query = exact_texts(tokenizer, task.queries.texts, tokens=job["query"], count=1)[0]
    model.save_pretrained(folder / "model")
    print("exporting", flush=True)
    with quiet_lightning():
        # Agreement is checked on the texts that are measured; this head is not trained to rank.
        export_bundle(model, folder / "bundle", rank_agreement=-1.0)
    for variant in GRAPHS:
        flashrank_folder(folder / "bundle", folder / f"flashrank_{variant}", variant)
    return {"query_text": query, "passages": passages}


def flashrank_folder(bundle: Path, target: Path, variant: str) -> None:
    """Lay a bundle's files as FlashRank reads them, without a copy: ``cache_dir=target``, ``FLASHRANK_NAME``."""
    own = target / FLASHRANK_NAME
    own.mkdir(parents=True)
    for path in bundle.iterdir():
        if path.is_file():
            _link(path, own / path.name)
    _link(bundle / GRAPHS[variant], own / FLASHRANK_FILE)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # a file system without links
        shutil.copy(path, target)
