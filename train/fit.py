"""Train a ranker: the same as ``rankgrad fit``; --help shows how."""

from __future__ import annotations

import sys

from rankgrad.cli.main import main as rankgrad


def main() -> int:
    """Hand the arguments on."""
    return rankgrad(["fit", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
