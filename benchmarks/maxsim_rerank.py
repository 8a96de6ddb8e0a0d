"""One query against encoded documents: the time of its MaxSim scores."""

from __future__ import annotations

from benchmarks.maxsim_data import Shape
from benchmarks.maxsim_settings import QUERY, RERANK, Setting
from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.workers import run_worker

CASE = RERANK


def run(options: Options) -> list[Row]:
    """Every shape and number of threads, all providers of one in turn in a process of its own."""
    rows = []
    for threads in (1,) if options.quick or options.device != "cpu" else (1, 2):
        job = {"settings": settings(options), "device": options.device, "quick": options.quick}
        rows += [Row(CASE, *each) for each in run_worker("benchmarks.maxsim_worker", job, threads=threads)]
    return rows


def settings(options: Options) -> list[Setting]:
    """The shapes, and on a GPU what they are meant to take."""
    if options.quick:
        return [Setting(CASE, Shape(1, 70, 4, 24, shortest=shortest, dim=16), {}) for shortest in (0, 8)]
    if options.device != "cpu":
        targets = {(1000, 32, 180): 16.0, (10000, 32, 300): 195.0, (1000, 1024, 1024): 480.0}
        return [Setting(CASE, Shape(1, *sizes), {QUERY.metric: target}) for sizes, target in targets.items()]
    fixed = [Shape(1, documents, 32, 180) for documents in (100, 1000)]
    ragged = [Shape(1, documents, 32, 300, shortest=20) for documents in (100, 1000)]
    return [Setting(CASE, shape, {}) for shape in fixed + ragged]
