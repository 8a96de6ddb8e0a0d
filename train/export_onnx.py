"""Turn a trained model into an ONNX bundle: the same as ``rankgrad export``; --help shows how."""

from __future__ import annotations

import sys

from rankgrad.cli.main import main as rankgrad


def main() -> int:
    """Hand the arguments on."""
    return rankgrad(["export", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
