"""``rankgrad search``: answer a query from a collection."""

from __future__ import annotations

import argparse
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._explain import add_explain, explainable, show_explained
from rankgrad.cli._first_stage import by_index, by_words, encoder_of
from rankgrad.cli._load import PYDOC
from rankgrad.cli._parser import Parser, add_command, positive, refuse_unused
from rankgrad.cli._rank import open_ranker, ranker_of, variants_of
from rankgrad.cli._show import note, show
from rankgrad.cli._texts import read_query
from rankgrad.types import VARIANTS

SHOWN = 10


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "search",
        run,
        summary="find documents of a collection",
        about=(
            "Find documents of a collection: BM25 over --data, or MaxSim over an --index that `rankgrad index` wrote,\n"
            "then each --model in the order given reorders what was found."
        ),
        example=(
            '  rankgrad search --data pydoc "number of seconds since the epoch"\n'
            '  rankgrad search --data my_beir_folder --model runs/colbert --model runs/cross_encoder "a query" -k 5\n'
            '  rankgrad search --data my_beir_folder --model runs/colbert/best "a query" --explain\n'
            '  rankgrad search --index runs/index "a query"\n'
            '  rankgrad search --index runs/index --model bundles/cross_encoder --variant int8 "a query"'
        ),
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help=f"a folder in the BEIR layout, or {PYDOC} for Python's documentation")
    source.add_argument("--index", type=Path, metavar="FOLDER", help="an index that `rankgrad index` wrote")
    parser.add_argument("query", metavar="QUERY", help="what is looked for")
    parser.add_argument("-k", type=positive, metavar="K", help="documents to print (default: 10)")
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a bundle or model folder; may be repeated",
    )
    parser.add_argument(
        "--depth",
        type=positive,
        default=100,
        metavar="N",
        help="documents that the first model reorders; each further one a fifth of them (default: %(default)s)",
    )
    parser.add_argument(
        "--variant", choices=VARIANTS, help="which graph of a bundle (default: fp32; of an index, the one that made it)"
    )
    parser.add_argument("--encoder", type=Path, metavar="FOLDER", help="the model of --index, where it has moved")
    parser.add_argument(
        "--candidates",
        type=positive,
        default=500,
        metavar="N",
        help="documents that the encodings of --index find and MaxSim scores (default: %(default)s)",
    )
    add_explain(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Search and print."""
    query = read_query(arguments.query)
    if arguments.encoder is not None and arguments.index is None:
        raise InputError("--encoder is the model of an --index: give one, or leave it out")
    if arguments.index is None:
        refuse_unused(arguments, ["--candidates"], "without --index")
    if not arguments.model:
        refuse_unused(arguments, ["--depth"], "without --model")
    index: Path | None = arguments.index
    encoder = None if index is None else encoder_of(index, arguments.encoder)
    variants = variants_of([*arguments.model, *([] if encoder is None else [encoder])], arguments.variant)
    models = [open_ranker(folder, variants[folder]) for folder in arguments.model]
    if index is None or encoder is None:
        explaining = explainable(models) if arguments.explain else None
        first = by_words(arguments.data)
    else:
        first = by_index(index, encoder=encoder, variant=variants[encoder], candidates=arguments.candidates)
        explaining = explainable([*first.models, *models]) if arguments.explain else None
    rankers = [ranker_of(model) for model in models]
    k = arguments.k or min(SHOWN, first.size)
    if k > first.size:
        raise InputError(
            f"-k {k} is more than the {first.size} documents of {arguments.data or arguments.index}: lower it"
        )
    depth = max(arguments.depth, k) if rankers else k
    found = first.find(query, min(depth, first.size))
    if not found:
        note("nothing found: no document holds a word of the query")
    for ranker in rankers if found else []:
        found = ranker(query, found[:depth])
        depth = max(depth // 5, k)
    if explaining is not None:
        show_explained(query, found[:k], explaining, name="id", as_json=arguments.json)
    else:
        show(query, found[:k], name="id", as_json=arguments.json)
    return 0
