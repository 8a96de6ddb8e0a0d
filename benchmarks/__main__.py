"""``python -m benchmarks CASE``: measure, check, write, show."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import (
    bm25,
    cascade,
    fusion,
    grad_cache,
    latency,
    losses,
    ltr,
    maxsim_in_batch,
    maxsim_memory,
    maxsim_quantised,
    maxsim_rerank,
    maxsim_soft,
    metrics,
    muvera,
    projection,
    quality,
    quality_plan,
    record,
    rerank,
    resume,
    serve,
    soft_cases,
    throughput,
    training,
)
from benchmarks.ltr_plot import draw_quality
from benchmarks.machine import environment
from benchmarks.options import PEERS_APART, Options
from benchmarks.plot import draw
from benchmarks.plot_lines import draw_lines
from benchmarks.show import show
from benchmarks.soft_plot import draw_grid
from benchmarks.soft_settings import CASES as SOFT_CASES
from benchmarks.workers import WorkerError
from rankgrad._checks import InputError

RESULTS = Path(__file__).resolve().parent / "results"
CASES = {
    rerank.CASE: rerank.run,
    bm25.CASE: bm25.run,
    latency.CASE: latency.run,
    training.CASE: training.run,
    grad_cache.CASE: grad_cache.run,
    resume.CASE: resume.run,
    serve.CASE: serve.run,
    throughput.CASE: throughput.run,
    maxsim_rerank.CASE: maxsim_rerank.run,
    maxsim_in_batch.CASE: maxsim_in_batch.run,
    maxsim_soft.CASE: maxsim_soft.run,
    maxsim_quantised.CASE: maxsim_quantised.run,
    maxsim_memory.CASE: maxsim_memory.run,
    metrics.CASE: metrics.run,
    fusion.CASE: fusion.run,
    cascade.CASE: cascade.run,
    muvera.CASE: muvera.run,
    losses.CASE: losses.run,
    ltr.CASE: ltr.run,
    **{case: partial(soft_cases.run, case) for case in SOFT_CASES},
}
STUDIES = {quality.CASE: quality.run, projection.CASE: projection.run}
PICTURES = {
    maxsim_memory.CASE: draw_lines,
    **dict.fromkeys((ltr.CASE, cascade.CASE, *STUDIES), draw_quality),
    **dict.fromkeys(SOFT_CASES, draw_grid),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one case.

    Returns:
        0, or 1 when a provider disagreed or failed: then nothing is written.
    """
    arguments = _parser().parse_args(argv)
    options = Options(
        quick=arguments.quick,
        model=arguments.model,
        device=arguments.device,
        data=arguments.data,
        pythons=dict(arguments.peer_python),
    )
    try:
        if arguments.case in STUDIES:
            rows = STUDIES[arguments.case](options, quality_plan.plan_of(arguments))
        else:
            rows = CASES[arguments.case](options)
    except (WorkerError, InputError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 1
    where = environment(options.device)
    # A quick run is no measurement: without a folder of its own it must not replace one.
    folder = arguments.out or (RESULTS.parents[1] / "runs" / "benchmarks" if options.quick else RESULTS)
    for case in dict.fromkeys(row.case for row in rows):
        members = [row for row in rows if row.case == case]
        path = record.path_for(folder, case, where.machine)
        record.write(path, members, where)
        show(members, where)
        picture = PICTURES.get(arguments.case, draw)(path)
        print(f"wrote {path} and {picture.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure rankgrad beside its peers.")
    parser.add_argument("case", choices=(*CASES, *STUDIES), help="what is measured")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, no measurement")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: benchmarks/results)")
    parser.add_argument(
        "--model", default="minilm", help="a folder, minilm, or random for its shape (default: %(default)s)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--data", metavar="FOLDER", help="a LETOR folder: measure it alone (ltr)")
    parser.add_argument(
        "--peer-python",
        type=_peer_python,
        action="append",
        default=[],
        metavar="PEER=PYTHON",
        help=f"an interpreter of its own for {' or '.join(PEERS_APART)}, which cannot be installed beside the others",
    )
    quality_plan.add_to(parser)
    return parser


def _peer_python(text: str) -> tuple[str, str]:
    peer, _, python = text.partition("=")
    if peer not in PEERS_APART or not python:
        raise argparse.ArgumentTypeError(f"{text!r}: expected PEER=PYTHON, with one of {', '.join(PEERS_APART)}")
    return peer, python


if __name__ == "__main__":
    sys.exit(main())
