"""Find hard negatives for training: the same as ``rankgrad mine``; --help shows how."""

from __future__ import annotations

import sys

from rankgrad.cli.main import main as rankgrad


def main() -> int:
    """Hand the arguments on."""
    return rankgrad(["mine", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
