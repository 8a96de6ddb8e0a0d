"""``python -m rankgrad.deploy BUNDLE QUERY DOCUMENT...``: rerank on a machine without torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.deploy.bundle import load
from rankgrad.deploy.results import Result

WRONG_INPUT = 2
_TEXT_WIDTH = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Rerank the arguments and write them out, the best first.

    Returns:
        0, or 2 for input that cannot be used.
    """
    arguments = _parser().parse_args(argv)
    try:
        model = load(arguments.bundle, variant=arguments.variant, threads=arguments.threads)
        results = model.rerank(arguments.query, arguments.documents, k=arguments.k)
    except (InputError, MissingExtraError) as error:
        sys.stderr.write(f"rankgrad.deploy: error: {' '.join(str(error).split())}\n")
        return WRONG_INPUT
    sys.stdout.write(_json(results) if arguments.json else _table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rankgrad.deploy",
        description="Put documents in order for a query with an exported bundle; torch is not needed.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="folder that rankgrad export wrote")
    parser.add_argument("query", metavar="QUERY", help="what is looked for")
    parser.add_argument("documents", metavar="DOCUMENT", nargs="+", help="the texts to put in order")
    parser.add_argument(
        "--variant", choices=("fp32", "int8"), default="fp32", help="which graph (default: %(default)s)"
    )
    parser.add_argument("--k", type=int, metavar="N", help="show the best N only")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to use (default: every core)")
    parser.add_argument("--json", action="store_true", help="write JSON instead of a table")
    return parser


def _json(results: Sequence[Result]) -> str:
    return json.dumps([result._asdict() for result in results], indent=2, ensure_ascii=False) + "\n"


def _table(results: Sequence[Result]) -> str:
    rows = [
        f"{rank:>4}  {result.score:>10.4f}  {result.index:>5}  {' '.join(result.document.split())[:_TEXT_WIDTH]}"
        for rank, result in enumerate(results, 1)
    ]
    return "\n".join([f"{'rank':>4}  {'score':>10}  {'index':>5}  document", *rows]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
