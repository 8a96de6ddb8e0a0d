"""Fusion of ranked lists: seconds of every method for many queries, from lists as each provider holds them."""

from __future__ import annotations

from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.workers import run_worker

CASE = "fusion"


def run(options: Options) -> list[Row]:
    """One process with one thread: what is compared is the work, not how it is spread."""
    job = {"quick": options.quick, "lists": 5, "pool": 3}
    job |= {"queries": 10, "documents": 20} if options.quick else {"queries": 1000, "documents": 1000}
    return [Row(CASE, *each) for each in run_worker("benchmarks.fusion_worker", job, threads=1)]
