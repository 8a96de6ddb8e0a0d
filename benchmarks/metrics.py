"""Ranking metrics: seconds for nDCG@10, MAP, MRR and recall@10 of many queries, from memory and from files."""

from __future__ import annotations

import tempfile

from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.workers import run_worker

CASE = "metrics"
_THREADS = 2


def run(options: Options) -> list[Row]:
    """One process: the lists in memory, then the two files."""
    job = {"device": options.device, "quick": options.quick, "documents": 100, "judged": 10}
    job |= (
        {"queries": 50, "queries_in_files": 50} if options.quick else {"queries": 100_000, "queries_in_files": 10_000}
    )
    threads = 1 if options.quick or options.device != "cpu" else _THREADS
    with tempfile.TemporaryDirectory() as folder:
        found = run_worker("benchmarks.metrics_worker", job | {"folder": folder}, threads=threads)
    return [Row(CASE, *each) for each in found]
