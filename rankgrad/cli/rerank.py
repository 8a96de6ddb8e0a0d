"""``rankgrad rerank``: put a few documents in order for a query."""

from __future__ import annotations

import argparse
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._explain import add_explain, explainable, show_explained
from rankgrad.cli._parser import Parser, add_command, positive
from rankgrad.cli._rank import open_ranker, ranker_of
from rankgrad.cli._show import Found, show
from rankgrad.cli._texts import read_documents, read_query
from rankgrad.types import VARIANTS


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "rerank",
        run,
        summary="put documents in order for a query",
        about=(
            "Put documents in order for a query, the best first. The model is a bundle that `rankgrad export`\n"
            "wrote (runs without torch) or a trained model folder. Documents come from the command line, from\n"
            'a file with one document a line (or JSON lines with a "text"), or from standard input.'
        ),
        example=(
            '  rankgrad rerank --model runs/demo/bundle "sort a list" "list.sort sorts in place" "open opens a file"\n'
            '  rankgrad rerank --model runs/demo/bundle "sort a list" --file documents.txt -k 3 --json\n'
            '  rankgrad rerank --model runs/colbert/best "sort a list" --file documents.txt --explain'
        ),
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="a bundle or a trained model folder"
    )
    parser.add_argument("query", metavar="QUERY", help="what is looked for")
    parser.add_argument("documents", nargs="*", metavar="DOCUMENT", help="texts to put in order")
    parser.add_argument("--file", metavar="FILE", help="read the documents from here; - is standard input")
    parser.add_argument("--variant", choices=VARIANTS, help="which graph of a bundle (default: fp32)")
    parser.add_argument("-k", type=positive, metavar="K", help="print the best K only (default: all)")
    add_explain(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Rerank and print."""
    query = read_query(arguments.query)
    documents = read_documents(arguments.documents, arguments.file)
    if arguments.k is not None and arguments.k > len(documents):
        raise InputError(
            f"-k {arguments.k} is more than the {len(documents)} documents given: lower it or leave it out"
        )
    model = open_ranker(arguments.model, arguments.variant)
    explaining = explainable([model]) if arguments.explain else None
    found = [Found(str(number), 0.0, text) for number, text in enumerate(documents, 1)]
    found = ranker_of(model)(query, found)[: arguments.k]
    if explaining is not None:
        show_explained(query, found, explaining, name="document", as_json=arguments.json)
    else:
        show(query, found, name="document", as_json=arguments.json)
    return 0
