"""``python -m benchmarks CASE``: measure, check, write, show."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import (
    maxsim_in_batch,
    maxsim_memory,
    maxsim_quantised,
    maxsim_rerank,
    maxsim_soft,
    metrics,
    record,
    rerank,
    soft_cases,
    training,
)
from benchmarks.machine import environment
from benchmarks.options import Options
from benchmarks.plot import draw
from benchmarks.plot_lines import draw_lines
from benchmarks.show import show
from benchmarks.soft_plot import draw_grid
from benchmarks.soft_settings import CASES as SOFT_CASES
from benchmarks.workers import WorkerError

RESULTS = Path(__file__).resolve().parent / "results"
CASES = {
    rerank.CASE: rerank.run,
    training.CASE: training.run,
    maxsim_rerank.CASE: maxsim_rerank.run,
    maxsim_in_batch.CASE: maxsim_in_batch.run,
    maxsim_soft.CASE: maxsim_soft.run,
    maxsim_quantised.CASE: maxsim_quantised.run,
    maxsim_memory.CASE: maxsim_memory.run,
    metrics.CASE: metrics.run,
    **{case: partial(soft_cases.run, case) for case in SOFT_CASES},
}
PICTURES = {maxsim_memory.CASE: draw_lines, **dict.fromkeys(SOFT_CASES, draw_grid)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one case.

    Returns:
        0, or 1 when a provider disagreed or failed: then nothing is written.
    """
    arguments = _parser().parse_args(argv)
    options = Options(quick=arguments.quick, model=arguments.model, device=arguments.device)
    try:
        rows = CASES[arguments.case](options)
    except WorkerError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 1
    where = environment(options.device)
    # A quick run is no measurement: without a folder of its own it must not replace one.
    folder = arguments.out or (RESULTS.parents[1] / "runs" / "benchmarks" if options.quick else RESULTS)
    path = record.path_for(folder, arguments.case, where.machine)
    record.write(path, rows, where)
    show(rows, where)
    picture = PICTURES.get(arguments.case, draw)(path)
    print(f"wrote {path} and {picture.name}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure rankgrad beside its peers.")
    parser.add_argument("case", choices=tuple(CASES), help="what is measured")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, no measurement")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: benchmarks/results)")
    parser.add_argument(
        "--model", default="minilm", help="a folder, minilm, or random for its shape (default: %(default)s)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
