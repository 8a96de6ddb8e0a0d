"""Losses of given scores: time and memory of forward and backward."""

from __future__ import annotations

from benchmarks.losses_worker import PEAK, TIME
from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.workers import run_worker

CASE = "losses"
_THREADS = 2


def run(options: Options) -> list[Row]:
    """Times, the providers of a loss in turn; on a CPU then the memory of each in another process."""
    threads = 1 if options.quick or options.device != "cpu" else _THREADS
    job = {"device": options.device, "quick": options.quick}
    rows = [Row(CASE, *each) for each in run_worker("benchmarks.losses_worker", job, threads=threads)]
    if options.device != "cpu":
        return rows
    measured = [(each.provider, each.setting) for each in rows if each.metric == TIME]
    found = run_worker("benchmarks.losses_memory_worker", job | {"measured": measured}, threads=threads)
    return rows + [row(CASE, provider, setting, PEAK, "MiB", max(growth, 0.0)) for provider, setting, growth in found]
