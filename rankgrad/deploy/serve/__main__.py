"""``python -m rankgrad.deploy.serve BUNDLE``: answer over HTTP on a machine without torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.deploy.serve.arguments import add_arguments, settings_from
from rankgrad.deploy.serve.run import run_server

WRONG_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped.

    Returns:
        0 after a stop that was asked for, 1 when the server could not start, 2 for input that cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankgrad.deploy.serve",
        description="Answer rerank requests over HTTP with an exported bundle; torch is not needed.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        return run_server(
            arguments.bundle, settings_from(arguments), variant=arguments.variant, threads=arguments.threads
        )
    except (InputError, MissingExtraError) as error:
        sys.stderr.write(f"rankgrad.deploy.serve: error: {' '.join(str(error).split())}\n")
        return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())
