"""``python -m rankgrad.deploy BUNDLE ...``: put texts or rows of features in order on a machine without torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.deploy.bundle import load
from rankgrad.deploy.feature_files import read_feature_file
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.results import Result
from rankgrad.types import VARIANTS

WRONG_INPUT = 2
_TEXT_WIDTH = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Rerank the arguments, or score a file of feature rows, and write them out, the best first.

    Returns:
        0, or 2 for input that cannot be used.
    """
    arguments = _parser().parse_args(argv)
    try:
        written = _run(arguments)
    except (InputError, MissingExtraError) as error:
        return _say(str(error))
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}")
    sys.stdout.write(written)
    return 0


def _run(arguments: argparse.Namespace) -> str:
    model = load(arguments.bundle, variant=arguments.variant, threads=arguments.threads)
    if isinstance(model, FeatureRanker):
        return _rank_rows(model, arguments)
    results = model.rerank(arguments.query, arguments.documents, k=arguments.k)
    return _json([result._asdict() for result in results]) if arguments.json else _table(results)


def _rank_rows(model: FeatureRanker, arguments: argparse.Namespace) -> str:
    """The rows of each query in the file, the best first; of equal scores the first line comes first."""
    if arguments.documents:
        raise InputError("a feature ranker reads rows, not texts: give one svmlight or CSV file behind the bundle")
    if arguments.k is not None and arguments.k < 1:
        raise InputError(f"k={arguments.k}: pass at least 1")
    file = read_feature_file(arguments.query, features=model.features, names=model.names)
    rows = []
    for query, lines, scores in zip(file.queries, file.lines, model.score(file.lists), strict=True):
        order = np.argsort(-scores, kind="stable")[: arguments.k].tolist()
        rows += [
            {"query": query, "rank": rank, "line": lines[row], "score": float(scores[row])}
            for rank, row in enumerate(order, 1)
        ]
    if arguments.json:
        return _json(rows)
    listed = [f"{row['query']:>12}  {row['rank']:>4}  {row['line']:>7}  {row['score']:>10.4f}" for row in rows]
    return "\n".join([f"{'query':>12}  {'rank':>4}  {'line':>7}  {'score':>10}", *listed]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rankgrad.deploy",
        usage="%(prog)s [options] BUNDLE QUERY DOCUMENT [DOCUMENT ...]\n       %(prog)s [options] BUNDLE FILE",
        description=(
            "Put documents in order for a query with an exported bundle, or the rows of a FILE (svmlight lines, or "
            ".csv with a header) with an exported feature ranker; torch is not needed."
        ),
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder that rankgrad export wrote")
    parser.add_argument("query", metavar="QUERY", help="what is looked for; of a feature ranker the FILE of rows")
    parser.add_argument("documents", metavar="DOCUMENT", nargs="*", help="the texts to put in order")
    parser.add_argument("--variant", choices=VARIANTS, default="fp32", help="which graph (default: %(default)s)")
    parser.add_argument("--k", type=int, metavar="N", help="show the best N only, of each query")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to use (default: every core)")
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")
    return parser


def _json(rows: Sequence[dict]) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _table(results: Sequence[Result]) -> str:
    rows = [
        f"{rank:>4}  {result.score:>10.4f}  {result.index:>5}  {' '.join(result.document.split())[:_TEXT_WIDTH]}"
        for rank, result in enumerate(results, 1)
    ]
    return "\n".join([f"{'rank':>4}  {'score':>10}  {'index':>5}  document", *rows]) + "\n"


def _say(message: str) -> int:
    sys.stderr.write(f"rankgrad.deploy: error: {' '.join(message.split())}\n")
    return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
