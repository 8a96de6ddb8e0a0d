"""Late-interaction retrieval: what MUVERA's encodings find of exact MaxSim, what codecs cost, beside others."""

from __future__ import annotations

from benchmarks.machine import ROOT
from benchmarks.options import PLAID, Options
from benchmarks.quality_plan import SCIFACT
from benchmarks.record import Row
from benchmarks.workers import WorkerError, run_worker

CASE = "late_retrieval"
ENCODED = ROOT / "runs" / "late_retrieval"
THREADS = 2


def run(options: Options) -> list[Row]:
    """Encode the collection where that is still to be done, measure, and then a peer in a process of its own."""
    if options.device != "cpu":
        raise WorkerError("the late_retrieval case is measured on the CPU: leave --device out")
    scifact = SCIFACT.is_dir() and not options.quick
    if not scifact and not options.quick:
        print(f"no folder {SCIFACT}: this Python's documentation is searched instead")
    job = {"quick": options.quick, "model": options.model, "folder": str(ENCODED)}
    job["scifact"] = str(SCIFACT) if scifact else None
    rows = run_worker("benchmarks.muvera_worker", job, threads=THREADS)
    try:
        # It may bring down its process: it is compiled against the C++ of one version of torch.
        rows += run_worker("benchmarks.muvera_plaid", job, threads=THREADS, python=options.pythons.get(PLAID))
    except WorkerError as error:
        print(f"left out: fast-plaid: {error}", flush=True)
    return [Row(CASE, *each) for each in rows]
