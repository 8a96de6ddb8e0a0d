"""``rankgrad evaluate``: measure BM25 and models on the judged queries of a collection."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rankgrad._checks import InputError, require
from rankgrad._files import check_replaceable
from rankgrad.cli._load import PYDOC, load_collection
from rankgrad.cli._parser import Parser, add_command, positive
from rankgrad.cli._show import is_terminal


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        summary="measure BM25 and models on a collection's judged queries",
        about=(
            "Measure BM25 alone, BM25 followed by each --model, and, where both kinds are given, BM25 followed\n"
            "by ColBERT followed by the cross-encoder. A bundle is measured with each graph it holds (fp32,\n"
            "int8). The table shows quality, milliseconds a query, and the difference to BM25 with its interval\n"
            "and p-values."
        ),
        example=(
            "  rankgrad evaluate --data my_beir_folder --split test\n"
            "  rankgrad evaluate --data pydoc --model runs/colbert/best --model bundles/cross_encoder --out runs/report"
        ),
    )
    parser.add_argument(
        "--data", required=True, help=f"a folder in the BEIR layout, or {PYDOC} for Python's documentation"
    )
    parser.add_argument("--split", default="test", help="whose judgements to use (default: %(default)s)")
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a bundle or model folder; may be repeated",
    )
    parser.add_argument("--k", type=positive, default=10, help="cut-off of nDCG and MRR (default: %(default)s)")
    parser.add_argument(
        "--depth", type=positive, default=100, help="documents of BM25, all reordered by ColBERT (default: %(default)s)"
    )
    parser.add_argument(
        "--cross-encoder-depth",
        type=positive,
        default=20,
        metavar="N",
        help="documents that a cross-encoder reorders (default: %(default)s)",
    )
    shares = parser.add_mutually_exclusive_group()
    shares.add_argument(
        "--first-stage-weights",
        type=float,
        nargs=3,
        metavar=("LATE", "CROSS", "CASCADE"),
        help="how much of BM25's score ColBERT and the cross-encoder add to their own, and how much of ColBERT's the "
        "cross-encoder behind it (default: 0 0 0)",
    )
    shares.add_argument(
        "--tune-on", metavar="SPLIT", help="choose those weights on the queries of this split, which is not measured"
    )
    parser.add_argument("--queries", type=positive, metavar="N", help="draw N queries at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of that draw and of the significance tests (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write report.json, TREC runs and a plot here")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    require("rich", "evaluate")
    if arguments.out is not None:
        require("matplotlib", "evaluate")
        check_replaceable(arguments.out, "report.json")
    if arguments.tune_on == arguments.split:
        raise InputError(
            f"--tune-on {arguments.split}: weights chosen on the queries measured flatter; name another split"
        )
    collection = load_collection(arguments.data)
    task = collection.task(arguments.split)
    if arguments.queries is not None:
        task = task.sample(arguments.queries, arguments.seed)
    from rankgrad.cli._systems import BASELINE, Depths, Weights, systems_of
    from rankgrad.evaluation import Experiment
    from rankgrad.metrics import NDCG, Recall, ReciprocalRank

    documents = len(task.documents)
    depths = Depths(min(arguments.depth, documents), min(arguments.cross_encoder_depth, documents))
    weights = Weights(*(arguments.first_stage_weights or ()))
    if arguments.tune_on is not None:
        from rankgrad.cli._weights import describe, fit_weights

        weights = fit_weights(arguments.model, collection.task(arguments.tune_on), depths)
        print(f"chosen on {arguments.tune_on}: {describe(weights)}", file=sys.stderr)
    systems = systems_of(arguments.model, task.documents.texts, depths, weights)
    metrics = (NDCG(k=arguments.k), ReciprocalRank(k=arguments.k), Recall(k=depths.retrieved))
    report = Experiment(systems, task, metrics=metrics, baseline=BASELINE, seed=arguments.seed).run(progress=True)
    if arguments.out is not None:
        report.write(arguments.out)
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        from rich.console import Console

        Console(width=None if is_terminal() else 120).print(report.table())
    return 0
