"""``rankgrad evaluate``: measure systems on collections' judged queries, or a TREC run against judgements."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError, require
from rankgrad._files import check_replaceable
from rankgrad.cli._letor import evaluate_features, feature_file
from rankgrad.cli._load import PYDOC, load_collection
from rankgrad.cli._parser import Parser, add_command, finite, positive, refuse_unused, seed
from rankgrad.cli._show import is_terminal

if TYPE_CHECKING:
    from rankgrad.evaluation import Report, StudyReport

# What each kind of measuring looks at, beside --out and --json.
_ROWS = ("--data", "--split", "--model", "--k", "--queries", "--seed")
_TEXTS = (*_ROWS, "--depth", "--cross-encoder-depth", "--first-stage-weights", "--tune-on")
_TREC = (
    *("--run", "--qrels", "--metrics", "--per-query", "--complete", "--level", "--no-summary", "--max-documents"),
    *("--judged-only", "--repeated", "--table"),
)


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        summary="measure BM25 and models on a collection's judged queries, or a TREC run",
        about=(
            "Measure BM25 alone, BM25 followed by each --model, and, where both kinds are given, BM25 followed\n"
            "by ColBERT followed by the cross-encoder. A bundle is measured with each graph it holds (fp32,\n"
            "int8). The table shows quality, milliseconds a query, and the difference to BM25 with its interval\n"
            "and p-values. On rows of features it measures feature rankers and cascades of them, and says of a\n"
            "cascade how many rows each stage scores and what that is expected to cost.\n\n"
            "With --experiment: what a YAML file says, systems x metrics x collections, with answers and encoded\n"
            "collections kept from run to run; --out writes one HTML page beside the JSON, runs and pictures.\n\n"
            "With --run and --qrels instead of --data: measure a run in TREC's format as trec_eval does, with its\n"
            "measures, its -q -c -l -n -M -J and its lines, or --table or --json. Of equal scores the greatest\n"
            "document id ranks first, and queries without judgements are left out."
        ),
        example=(
            "  rankgrad evaluate --data my_beir_folder --split test\n"
            "  rankgrad evaluate --data pydoc --model runs/colbert/best --model bundles/cross_encoder --out report\n"
            "  rankgrad evaluate --experiment examples/experiment.yaml --out report\n"
            "  rankgrad evaluate --run run.txt --qrels qrels.txt --metrics nDCG@10 map recall.100 -q -c"
        ),
    )
    parser.add_argument(
        "--data",
        help=f"a folder in the BEIR layout, {PYDOC} for Python's documentation, or (for feature "
        "rankers) an svmlight file, or a folder of them such as Fold1, of which SPLIT.txt is read",
    )
    parser.add_argument(
        "--experiment",
        type=Path,
        metavar="FILE",
        help="a YAML file of collections, systems and metrics (examples/experiment.yaml shows all it may hold)",
    )
    parser.add_argument("--split", default="test", help="whose judgements to use (default: %(default)s)")
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a bundle or model folder (of feature rankers and their cascades also a checkpoint); may be repeated",
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
        type=finite,
        nargs=3,
        metavar=("LATE", "CROSS", "CASCADE"),
        help="how much of BM25's score ColBERT and the cross-encoder add to their own, and how much of ColBERT's the "
        "cross-encoder behind it (default: 0 0 0)",
    )
    shares.add_argument(
        "--tune-on", metavar="SPLIT", help="choose those weights on the queries of this split, which is not measured"
    )
    parser.add_argument("--queries", type=positive, metavar="N", help="draw N queries at random (default: all)")
    parser.add_argument("--seed", type=seed, default=0, help="of that draw and of the significance tests (default: 0)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write report.json, report.html, TREC runs and plots here"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_run_options(parser)


def _add_run_options(parser: Parser) -> None:
    """What a TREC run is measured by."""
    group = parser.add_argument_group("a TREC run")
    group.add_argument(
        "--run", dest="run_file", type=Path, metavar="FILE", help="lines `query Q0 document rank score tag`"
    )
    group.add_argument("--qrels", type=Path, metavar="FILE", help="lines `query iteration document grade`")
    group.add_argument(
        "-m",
        "--metrics",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="official, all_trec, trec_eval's names such as map, P.5,10 or ndcg_cut.10, or nDCG@10, nDCG(exp2)@10, "
        "MRR@10, ERR@20, RBP(0.8), judged@10 (default: official)",
    )
    group.add_argument("-q", "--per-query", action="store_true", help="print the values of each query too")
    group.add_argument(
        "-c", "--complete", action="store_true", help="average over all judged queries, those missing in the run too"
    )
    group.add_argument(
        "-l", "--level", type=positive, default=1, metavar="N", help="lowest grade that is relevant (default: 1)"
    )
    group.add_argument("-n", "--no-summary", action="store_true", help="do not print the averages")
    group.add_argument("-M", "--max-documents", type=positive, metavar="N", help="look at the best N of each query")
    group.add_argument("-J", "--judged-only", action="store_true", help="leave documents without a judgement out")
    group.add_argument(
        "--repeated",
        choices=("error", "last"),
        default="error",
        help="a document judged twice for a query with different grades: refuse, or take the last (default: error)",
    )
    group.add_argument("--table", action="store_true", help="print a table instead of trec_eval's lines")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.experiment is not None:
        return _run_experiment(arguments)
    if arguments.run_file is not None or arguments.qrels is not None:
        if arguments.data is not None or arguments.run_file is None or arguments.qrels is None:
            raise InputError("--run and --qrels belong together, without --data: give a run and its judgements")
        refuse_unused(arguments, (*_TEXTS, "--out"), "of a run in TREC's format")
        from rankgrad.cli._trec import evaluate_run

        return evaluate_run(arguments)
    if arguments.data is None:
        raise InputError("nothing to measure: give --data, or --run and --qrels, or --experiment")
    refuse_unused(arguments, _TREC, "of --data, but of a --run")
    require("rich", "evaluate")
    if arguments.out is not None:
        require("matplotlib", "evaluate")
        check_replaceable(arguments.out, "report.json")
    rows = feature_file(Path(arguments.data), arguments.split)
    if rows is not None:
        if Path(arguments.data).is_file():
            refuse_unused(arguments, ["--split"], "of --data that is one file")
        refuse_unused(
            arguments, [option for option in _TEXTS if option not in _ROWS], "of rows, which have no first stage"
        )
        return _print(arguments, evaluate_features(rows, arguments))
    if not arguments.model:
        refuse_unused(arguments, ["--cross-encoder-depth", "--first-stage-weights", "--tune-on"], "without --model")
    if arguments.tune_on == arguments.split:
        raise InputError(
            f"--tune-on {arguments.split}: weights chosen on the queries measured flatter; name another split"
        )
    collection = load_collection(arguments.data)
    task = collection.task(arguments.split)
    if arguments.queries is not None:
        task = task.sample(arguments.queries, arguments.seed)
    if arguments.out is not None:
        from rankgrad.data.trec import check_ids

        check_ids(task.queries.ids, task.documents.ids)
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
    return _print(arguments, report)


def _run_experiment(arguments: argparse.Namespace) -> int:
    """What a file says."""
    refuse_unused(arguments, (*_TEXTS, *_TREC), "beside --experiment, whose file says what is measured, on what")
    require("rich", "evaluate")
    if arguments.out is not None:
        require("matplotlib", "evaluate")
        check_replaceable(arguments.out, "study.json")
    from rankgrad.cli.experiment import read_experiment

    return _print(arguments, read_experiment(arguments.experiment).run(progress=True))


def _print(arguments: argparse.Namespace, report: Report | StudyReport) -> int:
    """Print a report, and write it where asked to: what was measured is shown even if it cannot be written."""
    if arguments.json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        from rich.console import Console

        Console(width=None if is_terminal() else 120).print(report.table())
    if arguments.out is not None:
        report.write(arguments.out)
    return 0
