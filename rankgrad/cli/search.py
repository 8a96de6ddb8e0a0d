"""``rankgrad search``: answer a query from a collection."""

from __future__ import annotations

import argparse
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._load import PYDOC, load_collection
from rankgrad.cli._parser import Parser, add_command, positive
from rankgrad.cli._rank import load_ranker
from rankgrad.cli._show import Found, note, show
from rankgrad.cli._texts import read_query

SHOWN = 10


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "search",
        run,
        summary="find documents of a collection",
        about=(
            "Find documents of a collection: BM25 first, then each --model in the order given reorders what it found."
        ),
        example=(
            '  rankgrad search --data pydoc "number of seconds since the epoch"\n'
            '  rankgrad search --data my_beir_folder --model runs/colbert --model runs/cross_encoder "a query" -k 5'
        ),
    )
    parser.add_argument(
        "--data", required=True, help=f"a folder in the BEIR layout, or {PYDOC} for Python's documentation"
    )
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
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Search and print."""
    query = read_query(arguments.query)
    rankers = [load_ranker(folder) for folder in arguments.model]
    documents = load_collection(arguments.data).documents
    k = arguments.k or min(SHOWN, len(documents))
    if k > len(documents):
        raise InputError(f"-k {k} is more than the {len(documents)} documents of {arguments.data}: lower it")
    depth = max(arguments.depth, k) if rankers else k
    found = _retrieve(query, documents.ids, documents.texts, min(depth, len(documents)))
    if not found:
        note("nothing found: no document holds a word of the query")
    for ranker in rankers if found else []:
        found = ranker(query, found[:depth])
        depth = max(depth // 5, k)
    show(query, found[:k], name="id", as_json=arguments.json)
    return 0


def _retrieve(query: str, ids: tuple[str, ...], texts: tuple[str, ...], k: int) -> list[Found]:
    """The documents that BM25 finds."""
    from rankgrad.retrieve import BM25

    bm25 = BM25(texts)
    if not bm25.analyzer(query):
        raise InputError(f"the query {query!r} holds only stop words: add a word that says what you look for")
    ranking = bm25([query], k)
    rows = zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), ranking.mask[0].tolist(), strict=True)
    return [Found(ids[row], score, texts[row]) for row, score, real in rows if real]
