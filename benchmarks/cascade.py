"""Cascades trained as one beside the same stages trained apart, at the same cost; learned fusion beside fixed ones."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.options import Options
from benchmarks.quality_plan import DATA, SCIFACT
from benchmarks.record import Row
from benchmarks.workers import WorkerError, run_worker

CASE = "cascade"
_SEEDS = 3


def run(options: Options) -> list[Row]:
    """Every collection in a process of its own, with one thread; SciFact where it lies beside the repository."""
    if options.device != "cpu":
        raise WorkerError("the cascade case is measured on the CPU: leave --device out")
    names = [name for name in DATA if name != "scifact" or (SCIFACT.is_dir() and not options.quick)]
    if len(names) < len(DATA) and not options.quick:
        print(f"skipped: scifact (no folder {SCIFACT})")
    common = {"scifact": str(SCIFACT), "model": options.model, "quick": options.quick}
    jobs = [{"data": name, "seeds": 2 if options.quick else _SEEDS, **common} for name in names]
    # A process a core at most: none waits for another's.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(partial(run_worker, "benchmarks.cascade_worker", threads=1), jobs))
    return [Row(CASE, *each) for rows in found for each in rows]
