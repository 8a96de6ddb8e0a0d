"""Soft ranks, sorted values and top-k weights: time of forward and backward, and memory."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.soft_settings import BOTH, PEAK
from benchmarks.workers import run_worker

_THREADS = 2


def run(case: str, options: Options) -> list[Row]:
    """Times, the providers of a method in turn; on a CPU then the memory of each in another process."""
    threads = 1 if options.quick or options.device != "cpu" else _THREADS
    job = {"case": case, "device": options.device, "quick": options.quick}
    rows = [Row(case, *each) for each in run_worker("benchmarks.soft_worker", job, threads=threads)]
    if options.device != "cpu":
        return rows
    measured = [(each.provider, each.setting) for each in rows if each.metric == BOTH.metric]
    print(f"memory, {case}: {len(measured)} calls", flush=True)
    found = run_worker("benchmarks.soft_memory_worker", job | {"measured": measured}, threads=threads)
    return rows + [row(case, provider, setting, PEAK, "MiB", max(growth, 0.0)) for provider, setting, growth in found]
