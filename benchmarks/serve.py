"""Serving: requests a second and their latency, over HTTP on this machine, with and without batching across requests.

Server and clients share the machine's cores. A request is a query of 8 tokens and 4 passages of 60, of real words.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.random_model import source
from benchmarks.record import Row
from benchmarks.texts import documentation, exact_texts
from benchmarks.workers import run_worker

CASE = "serve"
BATCHING = "rankgrad serve"
ALONE = "rankgrad serve, a run a request"


def run(options: Options) -> list[Row]:
    """Export a cross-encoder, then serve it in a process of its own and load it from another."""
    job: dict[str, Any] = {"clients": [1, 8, 64], "seconds": 8.0, "warm_up": 1.0, "capacity": 32}
    sizes = {"query": 8, "passage": 60, "documents": 4, "requests": 64}
    if options.quick:
        job |= {"clients": [1, 4], "seconds": 0.5, "warm_up": 0.2, "capacity": 2}
        sizes = {"query": 4, "passage": 8, "documents": 2, "requests": 4}
    with tempfile.TemporaryDirectory() as folder:
        job |= {"bundle": str(Path(folder) / "bundle"), "requests": _prepare(options, Path(folder), sizes)}
        job["texts"] = f"{sizes['documents']} documents of {sizes['passage']} tokens"
        return [Row(CASE, *each) for each in run_worker("benchmarks.serve_worker", job, threads=1)]


def _prepare(options: Options, folder: Path, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Write the bundle; give back the requests."""
    import torch

    from benchmarks.rerank import spread_scores
    from rankgrad.export import export_bundle
    from rankgrad.models import CrossEncoder
    from rankgrad.training import quiet_lightning

    torch.manual_seed(0)
    model = CrossEncoder.from_pretrained(source(options.model, folder, quick=options.quick), head="cls")
    spread_scores(model)
    tokenizer, task = model.tokenizer.tokenizer, documentation(quick=options.quick)
    count = sizes["requests"]
    queries = exact_texts(tokenizer, task.queries.texts, tokens=sizes["query"], count=count)
    each = sizes["documents"]
    passages = exact_texts(tokenizer, task.documents.texts, tokens=sizes["passage"], count=count * each)
    with quiet_lightning():
        export_bundle(model, folder / "bundle", variants=(), rank_agreement=-1.0)
    return [
        {"query": query, "documents": passages[place * each : (place + 1) * each]}
        for place, query in enumerate(queries)
    ]
