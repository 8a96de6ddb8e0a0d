"""``rankgrad fuse``: make one TREC run of several, say what each adds, measure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._parser import Parser, add_command, finite, positive, refuse_unused

METHODS = (
    "rrf",
    "isr",
    "log_isr",
    "log_n_isr",
    "rbc",
    "borda",
    "condorcet",
    "copeland",
    "median_rank",
    "sum",
    "mnz",
    "anz",
    "max",
    "min",
    "med",
    "dbsf",
    "standardised",
    "learned",
)
NORMALISATIONS = ("none", "min_max", "z_score", "three_sigma", "sum", "rank", "quantile", "sigmoid")


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "fuse",
        run,
        summary="make one TREC run of several",
        about=(
            "Make one run in TREC's format of several. A query that a run lacks gets nothing from it, and of equal\n"
            "scores the lower document id comes first. With --qrels the runs and what became of them are measured,\n"
            "and compared two by two: what they share, how far their orders agree, and which relevant documents\n"
            "only one of two finds. `--method learned` trains weights and decay on --qrels; measure it on other\n"
            "queries."
        ),
        example=(
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt\n"
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt --method sum --weights 0.3 0.7 --normalise z_score\n"
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt --qrels qrels.txt --explain 301"
        ),
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="lines `query Q0 document rank score tag`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the file to write")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="rrf",
        metavar="METHOD",
        help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]} (default: %(default)s)",
    )
    parser.add_argument("--weights", type=finite, nargs="+", metavar="W", help="one a run (default: equal)")
    parser.add_argument("--k", type=finite, metavar="K", help="the constant of rrf (default: 60)")
    parser.add_argument("--persistence", type=finite, metavar="P", help="of rbc (default: 0.9)")
    parser.add_argument(
        "--normalise", choices=NORMALISATIONS, help="of sum, mnz, anz, max, min and med (default: min_max)"
    )
    parser.add_argument("--depth", type=positive, metavar="N", help="write the best N documents of each query")
    parser.add_argument("--qrels", type=Path, metavar="FILE", help="judgements: print metrics and a diagnosis")
    parser.add_argument("--explain", metavar="QUERY", help="print what each run adds to this query's documents")
    parser.add_argument("--top", type=positive, default=10, help="documents to explain (default: %(default)s)")
    parser.add_argument("--tag", default="rankgrad", help="the system's name in the file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print measures, diagnosis and explanation as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Fuse, write, and print what was asked for."""
    if len(arguments.runs) < 2:
        raise InputError("one run is fused already: give at least two")
    if arguments.weights is not None and len(arguments.weights) != len(arguments.runs):
        raise InputError(f"--weights {len(arguments.weights)} for {len(arguments.runs)} runs: give one a run")
    _refuse_unused(arguments)
    from rankgrad.cli._fusion import fuse_runs, read_runs
    from rankgrad.cli._fusion_report import fusion_report, print_report

    runs = read_runs(arguments.runs, arguments.qrels)
    if arguments.explain is not None and arguments.explain not in runs.queries:
        raise InputError(f"--explain {arguments.explain}: no run answers this query")
    fused = fuse_runs(runs, arguments)
    from rankgrad.data import write_run

    write_run(arguments.out, fused.run, tag=arguments.tag)
    print(f"wrote {arguments.out}: {len(fused.run)} queries of {len(arguments.runs)} runs", file=sys.stderr)
    report = fusion_report(runs, fused, explained=arguments.explain, top=arguments.top)
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), **report}, ensure_ascii=False, indent=2))
    else:
        print_report(report)
    return 0


def _refuse_unused(arguments: argparse.Namespace) -> None:
    """An option that the method does not look at is a mistake."""
    sums = ("sum", "mnz", "anz", "max", "min", "med")
    for option, given, methods in (
        ("--k", arguments.k, ("rrf", "learned")),
        ("--persistence", arguments.persistence, ("rbc",)),
        ("--normalise", arguments.normalise, sums),
        ("--weights", arguments.weights, tuple(name for name in METHODS if name not in ("median_rank", "learned"))),
    ):
        if given is not None and arguments.method not in methods:
            raise InputError(
                f"{option} says nothing to --method {arguments.method}: leave it out, or take {methods[0]}"
            )
    if arguments.explain is None:
        refuse_unused(arguments, ["--top"], "without --explain")
    if arguments.method == "learned" and arguments.qrels is None:
        raise InputError("--method learned learns from judgements: give --qrels")
