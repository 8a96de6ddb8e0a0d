"""One query against documents in fewer bits: the time of its MaxSim scores beside documents in floating point."""

from __future__ import annotations

from benchmarks.maxsim_data import Shape
from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.workers import run_worker

CASE = "maxsim_quantised"


def run(options: Options) -> list[Row]:
    """Every shape and number of threads, all formats of one in turn in a process of its own."""
    rows = []
    for threads in (1,) if options.quick or options.device != "cpu" else (1, 2):
        job = {"shapes": shapes(options), "device": options.device, "quick": options.quick}
        rows += [Row(CASE, *each) for each in run_worker("benchmarks.maxsim_quantised_worker", job, threads=threads)]
    return rows


def shapes(options: Options) -> list[Shape]:
    """Documents of all lengths, packed; the most of them first, for which peers tune themselves."""
    if options.quick:
        return [Shape(1, 12, 4, 24, shortest=8, dim=16)]
    return [Shape(1, documents, 32, 300, shortest=20) for documents in (1000, 100)]
