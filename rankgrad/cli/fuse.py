"""``rankgrad fuse``: make one TREC run of several, say what each adds, measure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.cli._parser import Parser, add_command, positive

if TYPE_CHECKING:
    from rankgrad.cli._fusion import Fused, Runs

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
            "and compared two by two: what they share, how far their orders agree, and which relevant documents only\n"
            "one of two finds. `--method learned` trains weights and decay on --qrels; measure it on other queries."
        ),
        example=(
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt\n"
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt --method sum --weights 0.3 0.7 --normalise z_score\n"
            "  rankgrad fuse bm25.txt dense.txt --out fused.txt --qrels qrels.txt --explain 301"
        ),
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="lines `query Q0 document rank score tag`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the file to write")
    parser.add_argument("--method", choices=METHODS, default="rrf", help="default: %(default)s")
    parser.add_argument("--weights", type=float, nargs="+", metavar="W", help="one a run (default: equal)")
    parser.add_argument("--k", type=float, metavar="K", help="the constant of rrf (default: 60)")
    parser.add_argument("--persistence", type=float, metavar="P", help="of rbc (default: 0.9)")
    parser.add_argument(
        "--normalise", choices=NORMALISATIONS, help="of sum, mnz, anz, max, min and med (default: min_max)"
    )
    parser.add_argument("--depth", type=positive, metavar="N", help="write the best N documents of each query")
    parser.add_argument("--qrels", type=Path, metavar="FILE", help="judgements: print metrics and a diagnosis")
    parser.add_argument("--explain", metavar="QUERY", help="print what each run adds to this query's documents")
    parser.add_argument("--top", type=positive, default=10, help="documents to explain (default: %(default)s)")
    parser.add_argument("--tag", default="rankgrad", help="the system's name in the file (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Fuse, write, and print what was asked for."""
    if len(arguments.runs) < 2:
        raise InputError("one run is fused already: give at least two")
    if arguments.weights is not None and len(arguments.weights) != len(arguments.runs):
        raise InputError(f"--weights {len(arguments.weights)} for {len(arguments.runs)} runs: give one a run")
    _refuse_unused(arguments)
    from rankgrad.cli._fusion import fuse_runs, read_runs

    runs = read_runs(arguments.runs, arguments.qrels)
    if arguments.explain is not None and arguments.explain not in runs.queries:
        raise InputError(f"--explain {arguments.explain}: no run answers this query")
    fused = fuse_runs(runs, arguments)
    from rankgrad.data import write_run

    write_run(arguments.out, fused.run, tag=arguments.tag)
    print(f"wrote {arguments.out}: {len(fused.run)} queries of {len(arguments.runs)} runs", file=sys.stderr)
    if runs.judgements is not None:
        _print_measures(runs, fused)
    if arguments.explain is not None:
        _print_explanation(runs, fused, arguments)
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
    if arguments.method == "learned" and arguments.qrels is None:
        raise InputError("--method learned learns from judgements: give --qrels")


def _print_measures(runs: Runs, fused: Fused) -> None:
    from rankgrad.cli._fusion import measure

    print(f"{'':24} {'nDCG@10':>9} {'MAP':>9} {'recall@100':>11}")
    for name, values in measure(runs, fused):
        print(f"{name[-24:]:24} {values[0]:9.4f} {values[1]:9.4f} {values[2]:11.4f}")
    from rankgrad.fuse import diagnose

    found = diagnose(runs.rankings, runs.judgements)
    print()
    for one in range(len(runs.names)):
        for other in range(one + 1, len(runs.names)):
            only = (
                "" if found.complementarity is None else f", found by one alone {found.complementarity[one, other]:.0%}"
            )
            print(
                f"{runs.names[one]} and {runs.names[other]}: shared {found.overlap[one, other]:.0%}, "
                f"tau {found.agreement[one, other]:.3f}{only}"
            )
    print(found.suggestion)


def _print_explanation(runs: Runs, fused: Fused, arguments: argparse.Namespace) -> None:
    from rankgrad.fuse import explain

    query = runs.queries.index(arguments.explain)
    for document in explain(fused.fusion, runs.rankings, query=query, k=arguments.top):
        print(f"{document.rank}. {runs.documents[document.id]} {document.score:.6g}")
        for source in document.sources:
            where = "not held" if source.rank is None else f"rank {source.rank:g}, score {source.score:g}"
            print(f"     {source.contribution:+.6g} {runs.names[source.list]} ({where})")
