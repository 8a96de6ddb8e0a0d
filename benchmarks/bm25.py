"""BM25: seconds of indexing, queries a second, and memory, beside bm25s with numpy and with numba."""

from __future__ import annotations

from benchmarks.bm25_data import WORDS
from benchmarks.bm25_providers import engines
from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.show import OURS
from benchmarks.workers import run_worker

CASE = "bm25"
MODULE = "benchmarks.bm25_worker"


def run(options: Options) -> list[Row]:
    """One process a size and number of threads, and one a provider and size for its memory."""
    sizes = (300,) if options.quick else (20_000, 200_000)
    shared = {"queries": 40, "words": 500} if options.quick else {"queries": 1000, "words": WORDS}
    rows: list[Row] = []
    for documents in sizes:
        job = shared | {"documents": documents, "k": 10, "memory": None}
        job["rounds"] = 2 if options.quick or documents > 100_000 else 3
        for threads in (1, 2):
            rows += [Row(CASE, *each) for each in run_worker(MODULE, job, threads=threads)]
        for name in engines(OURS):
            rows += [Row(CASE, *each) for each in run_worker(MODULE, job | {"memory": name}, threads=1)]
    return rows
