"""Learning to rank from features: rankgrad's losses beside LightGBM and XGBoost, by nDCG on the same folds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.workers import WorkerError, run_worker

CASE = "ltr"
EXAMPLE = ROOT.parent / "shared" / "data" / "ltr_lightgbm"
_THREADS = 1


def run(options: Options) -> list[Row]:
    """A set of known utility, and a LETOR folder; every set in a process of its own, all systems with one thread.

    The folder is LightGBM's ranking example, where it lies beside the repository, or what ``--data`` names: then it
    alone is measured.
    """
    if options.device != "cpu":
        raise WorkerError("the ltr case is measured on the CPU: leave --device out")
    sets: dict[str, str | None] = {"generated": None}
    if options.data is not None:
        sets = {Path(options.data).resolve().name: str(Path(options.data).resolve())}
    elif EXAMPLE.is_dir() and not options.quick:
        sets = {EXAMPLE.name: str(EXAMPLE), **sets}
    elif not options.quick:
        print(f"skipped: {EXAMPLE.name} (no folder {EXAMPLE}; name a LETOR folder with --data)")
    jobs = [{"name": name, "data": data, "quick": options.quick} for name, data in sets.items()]
    # A process a core at most: none waits for another's.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = list(pool.map(partial(run_worker, "benchmarks.ltr_worker", threads=_THREADS), jobs))
    return [Row(CASE, *each) for rows in found for each in rows]
