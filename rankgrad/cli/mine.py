"""``rankgrad mine``: hard negatives for training, as candidate lists and triples."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError, require
from rankgrad._files import check_replaceable
from rankgrad.cli._load import PYDOC, is_bundle, load_collection
from rankgrad.cli._mined import progress_bar, settings_of, summary_table
from rankgrad.cli._parser import Parser, add_command, finite, positive, seed
from rankgrad.cli._rank import open_model, variants_of
from rankgrad.cli._show import is_terminal
from rankgrad.types import VARIANTS

if TYPE_CHECKING:
    from rankgrad.data import Task
    from rankgrad.training import MiningSummary, NegativeFilter

_MODELS = ("model", "denoiser", "teacher")


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "mine",
        run,
        summary="find hard negatives and write them as candidate lists and triples",
        about=(
            "Find, for each query of a split, documents that look relevant and are not judged so: BM25's, those of\n"
            "--run, or either reordered by --model. Filters leave out what is likely to be relevant all the same.\n"
            "Writes lists.jsonl (`rankgrad fit` trains on it, see configs/data/lists.yaml), triples.jsonl and\n"
            "summary.json into --out; stopped, the same command goes on where it was."
        ),
        example=(
            "  rankgrad mine --data my_beir_folder --out mined --ranks 10 100 --negatives 7\n"
            "  rankgrad mine --data pydoc --out mined --model runs/colbert/best --relative-margin 0.95 \\\n"
            "    --denoiser runs/cross_encoder/best --denoise-above 0.5 --teacher runs/cross_encoder/best"
        ),
    )
    parser.add_argument(
        "--data", required=True, help=f"a folder in the BEIR layout, or {PYDOC} for Python's documentation"
    )
    parser.add_argument("--split", default="train", help="whose queries and judgements (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="write here")
    parser.add_argument("--queries", type=positive, metavar="N", help="draw N queries at random (default: all)")
    parser.add_argument("--seed", type=seed, default=0, help="of what is drawn at random (default: 0)")
    parser.add_argument(
        "--shard-size", type=positive, default=1000, metavar="N", help="queries written at a time (default: 1000)"
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew in a folder mined before")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_candidates(parser.add_argument_group("candidates"))
    _add_filters(parser.add_argument_group("filters"))


def _add_candidates(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--run", dest="run_file", type=Path, metavar="FILE", help="a run in TREC's format (default: BM25)"
    )
    group.add_argument("--model", type=Path, metavar="FOLDER", help="a ranker that reorders them and gives the scores")
    group.add_argument(
        "--depth", type=positive, metavar="N", help="documents a query that --model scores (default: the last rank)"
    )
    group.add_argument("--negatives", type=positive, default=7, metavar="N", help="wanted a query (default: 7)")
    group.add_argument(
        "--sampling", choices=("top", "random"), default="top", help="the best that remain, or drawn (default: top)"
    )
    group.add_argument("--teacher", type=Path, metavar="FOLDER", help="a ranker that scores the lists for distillation")
    group.add_argument("--variant", choices=VARIANTS, help="which graph of the bundles among them (default: fp32)")
    group.add_argument(
        "--batch-size", type=positive, default=8, metavar="N", help="lists a model scores at once (default: 8)"
    )


def _add_filters(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ranks", type=positive, nargs=2, default=(1, 100), metavar=("FIRST", "LAST"), help="(default: 1 100)"
    )
    group.add_argument("--margin", type=finite, metavar="X", help="leave out scores above the positive's less X")
    group.add_argument(
        "--relative-margin",
        type=finite,
        metavar="X",
        help="leave out scores above X times the positive's, such as 0.95",
    )
    group.add_argument("--min-score", type=finite, metavar="X", help="leave out scores below X")
    group.add_argument("--max-score", type=finite, metavar="X", help="leave out scores above X")
    group.add_argument("--denoiser", type=Path, metavar="FOLDER", help="a cross-encoder that judges what remains")
    group.add_argument(
        "--denoise-above", type=finite, metavar="X", help="leave out what --denoiser scores above X, on its own scale"
    )
    group.add_argument(
        "--near-duplicate",
        type=finite,
        default=0.9,
        metavar="X",
        help="share of words from which a text is the positive's again (default: 0.9)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Mine and print."""
    require("rich", "evaluate")
    check_replaceable(arguments.out, "mining.json", in_place=True)
    if (arguments.denoiser is None) != (arguments.denoise_above is None):
        raise InputError("--denoiser and --denoise-above belong together: give both or neither")
    if arguments.depth is not None and arguments.depth < arguments.ranks[1]:
        raise InputError(f"--depth {arguments.depth} ends before rank {arguments.ranks[1]}: raise it, or lower --ranks")
    folders = {name: getattr(arguments, name) for name in _MODELS if getattr(arguments, name) is not None}
    for folder in folders.values():
        is_bundle(folder)
    task = load_collection(arguments.data).task(arguments.split)
    if arguments.queries is not None:
        task = task.sample(arguments.queries, arguments.seed)
    summary = _mine(arguments, task, folders)
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), **asdict(summary)}, indent=2))
    else:
        from rich.console import Console

        Console(width=None if is_terminal() else 120).print(summary_table(summary, arguments.out))
    return 0


def _mine(arguments: argparse.Namespace, task: Task, folders: dict[str, Path]) -> MiningSummary:
    from rankgrad.data import read_run
    from rankgrad.training import HardNegatives, RetrievedCandidates, mine_to_folder

    rules = _rules(arguments)  # before what is slow
    variants = variants_of(tuple(folders.values()), arguments.variant)
    models = {name: open_model(each, variants[each]) for name, each in folders.items()}
    source = RetrievedCandidates(
        task.documents,
        first_stage=None if arguments.run_file is None else read_run(arguments.run_file),
        reranker=models.get("model"),
        depth=arguments.depth or arguments.ranks[1],
        batch_size=arguments.batch_size,
    )
    miner = HardNegatives(
        source,
        rules=rules,
        negatives=arguments.negatives,
        sampling=arguments.sampling,
        seed=arguments.seed,
        denoiser=models.get("denoiser"),
        teacher=models.get("teacher"),
        batch_size=arguments.batch_size,
    )
    files = folders if arguments.run_file is None else {**folders, "run": arguments.run_file}
    with progress_bar(len(task.queries)) as on_progress:
        return mine_to_folder(
            miner,
            task,
            arguments.out,
            settings=settings_of(arguments, task, files),
            shard_size=arguments.shard_size,
            overwrite=arguments.overwrite,
            on_progress=on_progress,
        )


def _rules(arguments: argparse.Namespace) -> NegativeFilter:
    from rankgrad.training import NegativeFilter

    return NegativeFilter(
        ranks=tuple(arguments.ranks),
        margin=arguments.margin,
        relative_margin=arguments.relative_margin,
        lowest=arguments.min_score,
        highest=arguments.max_score,
        denoise_above=arguments.denoise_above,
        near_duplicate=arguments.near_duplicate,
    )
