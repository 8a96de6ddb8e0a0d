"""The options of ``rankgrad export`` that say which graphs to make and what to measure them on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.cli._letor import feature_file
from rankgrad.cli._load import PYDOC, load_collection
from rankgrad.cli._parser import Parser, finite, positive, refuse_unused
from rankgrad.types import VARIANTS, Variant

if TYPE_CHECKING:
    from rankgrad.data import CandidateList, FeatureTable


def variant_names(text: str) -> tuple[Variant, ...]:
    """Names with commas between, as an argument's ``type``.

    Example:
        >>> variant_names("int8,fp16")
        ('int8', 'fp16')
    """
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no variant: choose from {', '.join(VARIANTS)}")
    return tuple(variant for variant in VARIANTS if variant in names)


def add_measuring(parser: Parser) -> None:
    """Add the options of what graphs are measured on."""
    group = parser.add_argument_group("what graphs are measured on")
    group.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help='JSON lines with "query" and "documents" like those in use: scores are compared on them, and int8-static '
        "takes its ranges from them (default: a few built-in ones, for comparing alone)",
    )
    group.add_argument(
        "--data",
        help=f"a folder in the BEIR layout, or {PYDOC}: nDCG@10 of each graph is measured on its judged queries; of a "
        "feature ranker an svmlight file, or a folder of train.txt, vali.txt and test.txt",
    )
    group.add_argument("--split", default="test", help="whose queries and judgements of --data (default: %(default)s)")
    group.add_argument(
        "--depth", type=positive, default=20, metavar="N", help="documents of BM25 a query of --data (default: 20)"
    )
    group.add_argument("--queries", type=positive, metavar="N", help="draw N queries of --data (default: all)")
    group.add_argument(
        "--ndcg-tolerance",
        type=finite,
        default=0.5,
        metavar="POINTS",
        help="hundredths of nDCG@10 that a graph may lose before it is marked unfit (default: %(default)s)",
    )


def ranked_texts(path: Path | None) -> list[tuple[str, tuple[str, ...]]] | None:
    """Queries with their documents, of a file of JSON lines.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, or a file without a line.
    """
    if path is None:
        return None
    from rankgrad.data._lines import read_objects, text_field, texts_field

    return [
        (text_field(line, "query", where), texts_field(line, "documents", where)) for line, where in read_objects(path)
    ]


def judged_lists_of(arguments: argparse.Namespace) -> list[CandidateList] | None:
    """BM25's documents of the judged queries of ``--data``, with their grades.

    Raises:
        InputError: for data that cannot be used.
    """
    if arguments.data is None:
        return None
    from rankgrad.data import ranked_lists
    from rankgrad.retrieve import BM25

    task = load_collection(arguments.data).task(arguments.split)
    if arguments.queries is not None:
        task = task.sample(arguments.queries)
    depth = min(arguments.depth, len(task.documents))
    found = BM25(task.documents.texts)(task.queries.texts, depth)
    return ranked_lists(task, task.run(found), depth=depth)


def judged_rows_of(arguments: argparse.Namespace, features: int) -> FeatureTable | None:
    """The rows of ``--data``, for a feature ranker.

    Raises:
        InputError: for data of texts, an option of such data, or rows that cannot be used.
    """
    if arguments.data is None:
        return None
    from rankgrad.data import read_letor

    refuse_unused(arguments, ["--depth", "--queries"], "beside a feature ranker")
    rows = feature_file(Path(arguments.data), arguments.split)
    if rows is None:
        raise InputError(f"--data {arguments.data}: a feature ranker is measured on svmlight rows, name such a file")
    return read_letor(rows, features=features)
